//! Why a target is not reached, where that is known.

use std::fmt::Write as _;

use super::Report;
use super::judged::{all, grouped};
use super::table::number;
use crate::cases::{floor, peer};
use crate::ours::{CHOOSE, COUNTED, FIXED, GUARD};

/// What a reason is for: the ratios of an algorithm whose name begins so.
struct Reason {
    family: &'static str,
    of: &'static str,
    to: &'static str,
    why: &'static str,
    /// Two whose times say it, by ratio.
    shown: Option<(&'static str, &'static str)>,
}

const REASONS: &[Reason] = &[
    Reason {
        family: "",
        of: CHOOSE,
        to: FIXED,
        why: "To look whether there is another list is one load of what other threads may write, one comparison and two \
              pointers to follow, whatever the algorithm; it is the same 1 to 2 ns beside picks of 3 and of 300.",
        shown: None,
    },
    Reason {
        family: "",
        of: GUARD,
        to: COUNTED,
        why: "The same, and the guard looks whether the instance had failed before, which a counter alone does not know.",
        shown: None,
    },
    Reason {
        family: "random",
        of: FIXED,
        to: peer::SELECTOR,
        why: "The floor itself is not that far below the peer on one thread of this processor.",
        shown: Some((floor::D, peer::SELECTOR)),
    },
    Reason {
        family: "weight-random",
        of: FIXED,
        to: peer::SELECTOR,
        why: "The floor itself is not that far below the peer on one thread of this processor.",
        shown: Some((floor::D, peer::SELECTOR)),
    },
    Reason {
        family: "weight-random",
        of: FIXED,
        to: peer::VOLO,
        why: "The peer goes through the list; of three instances that is short.",
        shown: Some((floor::D, peer::VOLO)),
    },
];

/// Each target that is missed, where, and why.
pub(super) fn missed(report: &Report) -> String {
    let mut text = String::new();
    for group in grouped(all(report)) {
        let missed: Vec<_> = group.iter().filter(|it| !it.is_reached()).collect();
        if missed.is_empty() {
            continue;
        }
        let places = missed.iter().map(|it| match it.place.as_str() {
            "" => format!("{} instead of {}", number(it.value), number(it.at_most)),
            place => format!("{} instead of {} ({place})", number(it.value), number(it.at_most)),
        });
        let _ = write!(text, "- {}: {}.", group[0].what, places.collect::<Vec<_>>().join("; "));
        if let Some(reason) = REASONS.iter().find(|it| it.is_for(&group[0].what)) {
            let _ = write!(text, " {}", reason.why);
            text += &reason.shown(report, &group[0].what);
        }
        text.push('\n');
    }
    text
}

impl Reason {
    fn is_for(&self, what: &str) -> bool {
        let Some((family, pair)) = what.split_once(": ") else { return false };
        (self.family.is_empty() || self.family == family) && pair == format!("{} / {}", self.of, self.to)
    }

    /// The figures that say so, on one thread.
    fn shown(&self, report: &Report, what: &str) -> String {
        let Some((of, to)) = self.shown else { return String::new() };
        let is_meant = |family: &str| what.split_once(": ").is_some_and(|(name, _)| name == family);
        let outcomes = report.outcomes.iter().filter(|it| is_meant(it.of.family) && it.of.threads == 1);
        let ratio = |it: &crate::race::Outcome| {
            let ratio = it.time(of)?.nanos / it.time(to)?.nanos;
            Some(format!("{} ({}, {})", number(ratio), it.of.many, it.of.weights.as_str()))
        };
        format!(" {of} / {to}: {}.", outcomes.filter_map(ratio).collect::<Vec<_>>().join(", "))
    }
}
