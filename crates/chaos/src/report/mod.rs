//! What is told of a run: a table for the terminal, JSON for scripts, a page for whoever wants to see it.

mod page;
mod table;
mod timeline;

use std::time::Duration;

use serde::Serialize;

use crate::facts::Facts;
use crate::judge::Violation;
use crate::plan::Kind;
use crate::recovery::{self, Figures};

/// The outcome of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report<'a> {
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    broken: Option<&'a str>,
    seconds: f64,
    session_ms: u64,
    /// By how much limits of time were stretched.
    slack: f64,
    episodes: usize,
    costs: Vec<Cost>,
    acts: usize,
    refused: usize,
    leaderships: usize,
    registrations: usize,
    violations: &'a [Violation],
}

/// A row of the table: all times in milliseconds.
#[derive(Debug, Serialize)]
struct Cost {
    kind: Kind,
    times: usize,
    nobody_led: Option<Figures>,
    registered_again: Option<Figures>,
    seen_again: Option<Figures>,
}

impl<'a> Report<'a> {
    pub(crate) fn of(facts: &'a Facts<'_>, violations: &'a [Violation], slack: f64) -> Self {
        let cost = |(kind, cost): (Kind, recovery::Cost)| Cost {
            kind,
            times: cost.faults,
            nobody_led: cost.nobody_led.figures(),
            registered_again: cost.registered.figures(),
            seen_again: cost.seen.figures(),
        };
        Self {
            seed: facts.setting.seed,
            broken: facts.setting.broken.as_deref(),
            seconds: Duration::from_nanos(facts.span.to - facts.span.from).as_secs_f64(),
            session_ms: facts.setting.session_ms,
            slack,
            episodes: facts.episodes.len(),
            costs: recovery::costs(facts).into_iter().map(cost).collect(),
            acts: facts.acts.len(),
            refused: facts.acts.iter().filter(|act| !act.ok).count(),
            leaderships: facts.beliefs().len(),
            registrations: facts.instances().count(),
            violations,
        }
    }

    pub(crate) fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    pub(crate) fn text(&self) -> String {
        table::text(self)
    }

    /// A page that needs nothing but a browser.
    pub(crate) fn html(&self, facts: &Facts<'_>) -> String {
        page::html(self, facts)
    }

    /// What was run, in a line.
    fn title(&self) -> String {
        let broken = self.broken.map(|what| format!(", with a broken {what}")).unwrap_or_default();
        let slack =
            if self.slack > 1.0 { format!(", limits of time x {}", self.slack) } else { String::new() };
        format!("seed {}{broken}, {:.0} s, T = {} ms{slack}", self.seed, self.seconds, self.session_ms)
    }

    /// What was seen, in a line.
    fn counts(&self) -> String {
        let faults: usize = self.costs.iter().map(|cost| cost.times).sum();
        format!(
            "{faults} faults in {} episodes; {} acts of {} leaderships, {} refused; {} nodes of instances made",
            self.episodes, self.acts, self.leaderships, self.refused, self.registrations
        )
    }

    fn verdict(&self) -> String {
        match self.violations.len() {
            0 => "no promise was broken".to_owned(),
            1 => "1 violation".to_owned(),
            many => format!("{many} violations"),
        }
    }
}

/// Seconds since the beginning.
fn seconds(nanos: u64) -> String {
    format!("{:.3} s", Duration::from_nanos(nanos).as_secs_f64())
}
