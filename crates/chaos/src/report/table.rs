//! The outcome for a terminal.

use super::{Cost, Report, seconds};
use crate::recovery::Figures;

/// More are in the JSON and on the page.
const SHOWN: usize = 20;

pub(super) fn text(report: &Report<'_>) -> String {
    let mut lines = vec![report.title(), report.counts(), String::new()];
    let (wide, group) = (24, 23);
    lines.push(format!(
        "{:wide$}  {:>5}  {:^group$}  {:^group$}  {:^group$}",
        "", "", "nobody led", "registered again", "seen again"
    ));
    let three = format!("{:>7} {:>7} {:>7}", "median", "p99", "worst");
    lines.push(format!("{:wide$}  {:>5}  {three}  {three}  {three}", "fault", "times"));
    lines.extend(report.costs.iter().map(|cost| row(cost, wide)));
    lines.push(String::new());
    lines.push("All times in ms, of the episodes in which this fault took part, mostly with others: the longest time without".into());
    lines.push("an act of a leader; from the end of the last fault until all are registered; and until all watchers see it.".into());
    lines.push(String::new());
    lines.push(report.verdict());
    for violation in report.violations.iter().take(SHOWN) {
        lines.push(format!("  {:<8} {:>10}  {}", violation.promise, seconds(violation.at), violation.what));
    }
    if report.violations.len() > SHOWN {
        lines.push(format!("  and {} more", report.violations.len() - SHOWN));
    }
    lines.join("\n")
}

fn row(cost: &Cost, wide: usize) -> String {
    let figures = [&cost.nobody_led, &cost.registered_again, &cost.seen_again].map(|figures| match figures {
        Some(Figures { median_ms, p99_ms, worst_ms }) => format!("{median_ms:>7} {p99_ms:>7} {worst_ms:>7}"),
        None => format!("{:>7} {:>7} {:>7}", "-", "-", "-"),
    });
    format!("{:wide$}  {:>5}  {}", cost.kind.to_string(), cost.times, figures.join("  "))
}
