//! Why a target is not reached, where that is known.

use std::fmt::Write as _;

use super::Report;
use super::judged::{all, grouped};
use super::table::number;
use crate::cases::{floor, peer};
use crate::ours::{CHOOSE, COUNTED, FIXED, GUARD, OWNED};
use crate::race::Outcome;

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
        why: "To look whether there is another list is a load of what other threads may write and a comparison: half a nanosecond \
              and more, whatever the algorithm, which shows beside picks of 3.",
        shown: None,
    },
    Reason {
        family: "",
        of: GUARD,
        to: COUNTED,
        why: "To look whether there is another list takes half a nanosecond and more, and on two threads the guards of a few \
              instances wait for each other.",
        shown: None,
    },
    Reason {
        family: "",
        of: OWNED,
        to: peer::BALANCER,
        why: "A guard of its own counts a reference and a request, up and down: four locked instructions, of some 15 ns each on \
              some processors and 3 on others (floor a is one). Two threads that pick of a few write the same lines besides. The peer \
              takes 100 ns and more on its own, in which its threads seldom meet.",
        shown: None,
    },
    Reason {
        family: "round-robin",
        of: CHOOSE,
        to: peer::BALANCER,
        why: "Two threads wait for one turn, and so does the floor.",
        shown: Some((floor::A, peer::BALANCER)),
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
        why: "The peer takes longer the longer the list is, and not long for a short one.",
        shown: Some((floor::D, peer::VOLO)),
    },
    Reason {
        family: "weight-random",
        of: FIXED,
        to: floor::D,
        why: "The floor draws and looks at nothing. Here a table as long as the list is looked at besides, and of 10,000 it is larger \
              than the cache next to a processor.",
        shown: None,
    },
    Reason {
        family: "least-connect",
        of: COUNTED,
        to: floor::F,
        why: "The floor's counters lie in the list. These stay with an instance when the list changes and are reached by a \
              pointer, and who failed is told from who did not; up to 32 instances all are looked at, and with weights a look \
              at the table of WeightedRandom and another draw come before. Where the floor's two locked instructions \
              take 15 ns each they are most of it, and less than a nanosecond elsewhere.",
        shown: None,
    },
    Reason {
        family: "hash",
        of: FIXED,
        to: floor::E,
        why: "The key's hash is half of both. The other half is a line with up to 16 points that is halved four times, where \
              the floor looks once at a table that cannot be right.",
        shown: None,
    },
    Reason {
        family: "round-robin per thread",
        of: FIXED,
        to: floor::A,
        why: "The floor waits for a line that two threads write; a turn of one's own waits for nobody, and where the machine lets \
              the floor wait little it is not ten times as fast.",
        shown: None,
    },
    Reason {
        family: "round-robin",
        of: FIXED,
        to: floor::A,
        why: "It is what the floor does. Two threads wait for one turn, and never alike.",
        shown: None,
    },
    Reason {
        family: "weight-round-robin",
        of: FIXED,
        to: floor::A,
        why: "Two threads wait for one turn, as those of the floor do, and never alike. A cycle of more than 65,536 picks is \
              reckoned besides: two multiplications, a look at the guide and one at the ends, which are waited for where they are not in \
              the caches.",
        shown: None,
    },
    Reason {
        family: "least-connect",
        of: GUARD,
        to: peer::TOWER,
        why: "Two threads that pick of three write the same counters, and so does the floor. The peer's lock is passed on \
              less often.",
        shown: Some((floor::F, peer::TOWER)),
    },
    Reason {
        family: "hash",
        of: "preparing",
        to: peer::RING,
        why: "There are 1,024 points for an instance of the mean weight. With 640 it was reached, and of 200 sets of 100 names \
              107 had somebody with 10 % more keys than the mean.",
        shown: None,
    },
    Reason {
        family: "hash",
        of: "memory",
        to: peer::RING,
        why: "There are 1,024 points for an instance of the mean weight. With 640 it was reached, and of 200 sets of 100 names \
              107 had somebody with 10 % more keys than the mean.",
        shown: None,
    },
    Reason {
        family: "weight-random",
        of: "preparing",
        to: peer::ALIAS,
        why: "A picker has its list and a place of its own in memory besides the table: some 60 ns.",
        shown: None,
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

    /// The figures that say so, where it is missed.
    fn shown(&self, report: &Report, what: &str) -> String {
        let Some((of, to)) = self.shown else { return String::new() };
        let is_meant = |it: &&Outcome| what.split_once(": ").is_some_and(|(name, _)| name == it.of.family);
        let is_missed =
            |it: &&Outcome| it.ratio(self.of, self.to).is_some_and(|it| it.is_reached() == Some(false));
        let ratio =
            |it: &Outcome| Some(format!("{} ({})", number(it.time(of)?.nanos / it.time(to)?.nanos), it.of));
        let outcomes = report.outcomes.iter().filter(is_meant).filter(is_missed);
        format!(" {of} / {to}: {}.", outcomes.filter_map(ratio).collect::<Vec<_>>().join(", "))
    }
}
