//! The outcome as a page.

use std::fmt::Write;

use super::{Report, seconds, timeline};
use crate::facts::Facts;
use crate::recovery::Figures;

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --muted: #888; }
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; }
h1 { font-size: 1.4rem; margin: 0; }
.held { color: #18864b; } .broken { color: #c62828; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .15rem .7rem; border-bottom: 1px solid var(--line); text-align: right; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
.text { text-align: left; }
.timeline { overflow-x: auto; border: 1px solid var(--line); }
svg text { font-size: 11px; fill: currentColor; }
.grid { stroke: var(--line); } .alive { fill: #8883; } .fine { fill: #8882; }
.leads { fill: #1565c0; } .registered, .live { fill: #43a047; } .stale { fill: #fbc02d; }
.fault { fill: #e53935; } .violation { stroke: #d500f9; stroke-width: 2; }
.key { display: inline-block; width: 1.2em; height: .7em; margin: 0 .3em 0 1em; }
";

pub(super) fn html(report: &Report<'_>, facts: &Facts<'_>) -> String {
    let class = if report.violations.is_empty() { "held" } else { "broken" };
    let (title, counts, verdict) =
        (escaped(&report.title()), escaped(&report.counts()), escaped(&report.verdict()));
    let (table, violations, svg) =
        (table(report), violations(report), timeline::svg(facts, report.violations));
    format!(
        r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>chaos: {title}</title><style>{STYLE}</style></head><body>
<h1>Chaos: <span class="{class}">{verdict}</span></h1>
<p>{title}<br>{counts}</p>
{violations}
<h2>Timeline</h2>
<p>{}</p>
<div class="timeline">{svg}</div>
<h2>Faults, and how long it took afterwards</h2>
{table}
<p>All times in milliseconds, of the episodes in which this fault took part, mostly with others: the longest time without an act
of a leader; from the end of the last fault until all are registered; and until all watchers see it.</p>
</body></html>
"#,
        key()
    )
}

/// What the colours mean.
fn key() -> String {
    let colours = [
        ("#1565c0", "leads"),
        ("#43a047", "registered in ZooKeeper, or sees the truth"),
        ("#fbc02d", "sees the last that was known, marked stale"),
        ("#8883", "lives"),
        ("#e53935", "is broken"),
        ("#d500f9", "violation"),
    ];
    colours.iter().fold(String::new(), |mut key, (colour, what)| {
        let _ = write!(key, r#"<span class="key" style="background:{colour}"></span>{what}"#);
        key
    })
}

fn violations(report: &Report<'_>) -> String {
    if report.violations.is_empty() {
        return String::new();
    }
    let rows = report.violations.iter().fold(String::new(), |mut rows, violation| {
        let (at, what) = (seconds(violation.at), escaped(&violation.what));
        let _ = write!(
            rows,
            r#"<tr><td>{}</td><td>{at}</td><td class="text">{what}</td></tr>"#,
            violation.promise
        );
        rows
    });
    format!("<table><tr><th>promise</th><th>at</th><th class='text'>what happened</th></tr>{rows}</table>")
}

fn table(report: &Report<'_>) -> String {
    let three = "<th>median</th><th>p99</th><th>worst</th>";
    let mut rows = format!(
        "<tr><th></th><th></th><th colspan=3>nobody led</th><th colspan=3>registered again</th><th colspan=3>seen again</th></tr>\
         <tr><th>fault</th><th>times</th>{three}{three}{three}</tr>"
    );
    for cost in &report.costs {
        let _ = write!(rows, "<tr><td>{}</td><td>{}</td>", escaped(&cost.kind.to_string()), cost.times);
        for figures in [&cost.nobody_led, &cost.registered_again, &cost.seen_again] {
            match figures {
                Some(Figures { median_ms, p99_ms, worst_ms }) => {
                    let _ = write!(rows, "<td>{median_ms}</td><td>{p99_ms}</td><td>{worst_ms}</td>");
                }
                None => rows.push_str("<td></td><td></td><td></td>"),
            }
        }
        rows.push_str("</tr>");
    }
    format!("<table>{rows}</table>")
}

/// Text that means nothing to a browser.
pub(super) fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut all, c| {
        match c {
            '<' => all.push_str("&lt;"),
            '>' => all.push_str("&gt;"),
            '&' => all.push_str("&amp;"),
            '"' => all.push_str("&quot;"),
            _ => all.push(c),
        }
        all
    })
}
