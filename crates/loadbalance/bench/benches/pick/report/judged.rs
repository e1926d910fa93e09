//! Each target, and whether it is reached.

use super::Report;
use super::table::{Table, number};
use crate::churn::{AT_MOST, MANY};

/// One figure that is judged.
pub(super) struct Judged {
    /// Those with the same words are judged together.
    pub(super) what: String,
    pub(super) place: String,
    pub(super) value: f64,
    pub(super) at_most: f64,
}

impl Judged {
    pub(super) fn is_reached(&self) -> bool {
        self.value <= self.at_most
    }

    /// How near to the limit, or how far above.
    pub(super) fn strain(&self) -> f64 {
        if self.at_most > 0.0 { self.value / self.at_most } else { 1.0 + self.value }
    }
}

/// All figures of a run that are judged.
pub(super) fn all(report: &Report) -> Vec<Judged> {
    let mut all = Vec::new();
    for outcome in &report.outcomes {
        let of = outcome.of;
        for ratio in outcome.ratios.iter().filter(|ratio| ratio.clean) {
            let what = format!("{}: {} / {}", of.family, ratio.of, ratio.to);
            let place = of.to_string();
            all.extend(ratio.at_most.map(|at_most| Judged { what, place, value: ratio.value, at_most }));
        }
    }
    for churn in &report.churns {
        let what = format!("{}: p99.9 while the list changes / quiet", churn.name);
        all.push(Judged { what, place: MANY.to_string(), value: churn.ratio, at_most: AT_MOST });
    }
    for rebuild in &report.rebuilds {
        let Some(beside) = &rebuild.beside else { continue };
        let place = format!("{}, {}", rebuild.many, rebuild.weights.as_str());
        let mut judge = |what: &str, value, at_most: Option<f64>| {
            let what = format!("{}: {what} / {}", rebuild.family, beside.peer);
            all.extend(at_most.map(|at_most| Judged { what, place: place.clone(), value, at_most }));
        };
        judge("preparing", beside.ratio, beside.at_most);
        judge("memory", rebuild.bytes / beside.bytes, beside.memory_at_most);
    }
    for finding in &report.findings {
        let (what, value) = (finding.what.clone(), finding.value);
        all.extend(finding.at_most.map(|at_most| Judged { what, place: String::new(), value, at_most }));
    }
    all
}

/// In groups of the same words, in their order.
pub(super) fn grouped(all: Vec<Judged>) -> Vec<Vec<Judged>> {
    let mut groups: Vec<Vec<Judged>> = Vec::new();
    for judged in all {
        match groups.iter_mut().find(|group| group[0].what == judged.what) {
            Some(group) => group.push(judged),
            None => groups.push(vec![judged]),
        }
    }
    groups
}

pub(super) fn judged(report: &Report) -> Table {
    let row = |group: Vec<Judged>| {
        let limits =
            |pick: fn(f64, f64) -> f64| group.iter().map(|it| it.at_most).reduce(pick).unwrap_or(f64::NAN);
        let (low, high) = (limits(f64::min), limits(f64::max));
        let limit = if low == high { number(low) } else { format!("{} .. {}", number(low), number(high)) };
        let worst = group.iter().max_by(|one, other| one.strain().total_cmp(&other.strain()));
        let worst = worst.map_or_else(String::new, |it| match it.place.as_str() {
            "" => number(it.value),
            place => format!("{} ({place})", number(it.value)),
        });
        let reached = group.iter().filter(|it| it.is_reached()).count();
        let verdict = match group.len() - reached {
            0 => "reached".to_owned(),
            _ if reached == 0 => "**not reached**".to_owned(),
            _ => format!("**not reached** in {} of {}", group.len() - reached, group.len()),
        };
        vec![group[0].what.clone(), limit, worst, verdict]
    };
    let head = ["what", "at most", "the worst (N, weights, threads)", ""].map(str::to_owned).to_vec();
    Table { words: 4, head, rows: grouped(all(report)).into_iter().map(row).collect() }
}
