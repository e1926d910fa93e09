//! Who led, who was registered, who saw the truth and what was broken, drawn over time.

use std::fmt::Write;
use std::time::Duration;

use super::page::escaped;
use crate::facts::{Facts, Span};
use crate::history::{Nanos, Source};
use crate::judge::Violation;
use crate::who::{Role, Who};

const ROW: usize = 16;
const LABEL: usize = 70;
const TOP: usize = 24;
/// As wide as this at least, and so many pixels a second.
const LEAST_WIDTH: f64 = 1100.0;
const PIXELS_PER_SECOND: f64 = 14.0;
/// A bar that is shorter could not be seen.
const LEAST_BAR: f64 = 1.0;

/// A drawing that can be put in a page.
pub(super) fn svg(facts: &Facts<'_>, violations: &[Violation]) -> String {
    let seconds = Duration::from_nanos(facts.span.to - facts.span.from).as_secs_f64().max(1.0);
    let width = (seconds * PIXELS_PER_SECOND).max(LEAST_WIDTH);
    let mut drawing = Drawing { facts, scale: width / seconds, svg: String::new(), row: 0 };
    drawing.servers();
    for who in [Role::Candidate, Role::Watcher, Role::Instance].into_iter().flat_map(Role::all) {
        drawing.process(who);
    }
    let height = TOP + drawing.row * ROW + 8;
    let whole = LABEL as f64 + width + 8.0;
    let mut marks = String::new();
    for violation in violations {
        let x = drawing.x(facts.span.from + violation.at);
        let what = escaped(&format!("{}: {}", violation.promise, violation.what));
        let _ = write!(
            marks,
            r#"<line class="violation" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{height}"><title>{what}</title></line>"#
        );
    }
    let axis = axis(seconds, drawing.scale, height);
    let body = drawing.svg;
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{whole:.0}" height="{height}" role="img" aria-label="timeline">{axis}{body}{marks}</svg>"#
    )
}

/// A line and a number every so many seconds.
fn axis(seconds: f64, scale: f64, height: usize) -> String {
    let step = [1.0, 5.0, 10.0, 60.0].into_iter().find(|step| step * scale >= 50.0).unwrap_or(300.0);
    let mut axis = String::new();
    let mut at = 0.0;
    while at <= seconds {
        let x = LABEL as f64 + at * scale;
        let _ = write!(
            axis,
            r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{height}"/><text x="{x:.1}" y="14">{at} s</text>"#
        );
        at += step;
    }
    axis
}

struct Drawing<'a> {
    facts: &'a Facts<'a>,
    /// Pixels for each second.
    scale: f64,
    svg: String,
    row: usize,
}

impl Drawing<'_> {
    fn x(&self, at: Nanos) -> f64 {
        let since = Duration::from_nanos(at.saturating_sub(self.facts.span.from));
        LABEL as f64 + since.as_secs_f64() * self.scale
    }

    fn y(&self) -> usize {
        TOP + self.row * ROW
    }

    fn label(&mut self, text: &str) {
        let y = self.y() + 12;
        let _ = write!(self.svg, r#"<text x="4" y="{y}">{}</text>"#, escaped(text));
    }

    /// A bar of a class in the row, from a part of its height to another.
    fn bar(&mut self, class: &str, span: Span, (top, high): (usize, usize), title: &str) {
        let (from, to) = (self.x(span.from), self.x(span.to));
        let (y, wide, title) = (self.y() + top, (to - from).max(LEAST_BAR), escaped(title));
        let _ = write!(
            self.svg,
            r#"<rect class="{class}" x="{from:.1}" y="{y}" width="{wide:.1}" height="{high}"><title>{title}</title></rect>"#
        );
    }

    fn servers(&mut self) {
        for server in ["server 1", "server 2", "server 3"] {
            self.label(server);
            self.bar("fine", self.facts.span, (2, 12), server);
            self.faults(server);
            self.row += 1;
        }
    }

    /// What was broken about somebody.
    fn faults(&mut self, name: &str) {
        let facts = self.facts;
        for fault in facts.faults.iter().filter(|fault| fault.on.iter().any(|on| on == name)) {
            self.bar("fault", fault.span, (11, 4), &format!("{name}: {}", fault.kind));
        }
    }

    fn process(&mut self, who: Who) {
        let name = who.to_string();
        self.label(&name);
        let facts = self.facts;
        for (life, living) in facts.lives.iter().filter(|(life, _)| life.who == who) {
            self.bar("alive", living.span, (2, 8), &format!("{name}, life {}", life.life));
            match who.role {
                Role::Candidate => {
                    for belief in &living.beliefs {
                        let reason = belief.reason.as_deref().unwrap_or("it ended");
                        let title = format!("{name} leads with token {}, until: {reason}", belief.token);
                        self.bar("leads", belief.span, (2, 8), &title);
                    }
                }
                Role::Watcher => {
                    let views: Vec<_> = living.views().collect();
                    let ends = views.iter().skip(1).map(|view| view.at).chain([living.span.to]);
                    for (view, to) in views.iter().zip(ends) {
                        let class = if view.source == Source::Live { "live" } else { "stale" };
                        let title = format!("{name} sees {} instances, {class}", view.instances.len());
                        self.bar(class, Span { from: view.at, to }, (2, 8), &title);
                    }
                }
                Role::Instance => {}
            }
        }
        if who.role == Role::Instance {
            for (_, node) in facts.instances().filter(|(owner, _)| *owner == who) {
                self.bar("registered", node.span, (2, 8), &format!("{name} is registered"));
            }
        }
        self.faults(&name);
        self.row += 1;
    }
}
