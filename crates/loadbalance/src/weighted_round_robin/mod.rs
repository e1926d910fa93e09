//! One after the other, the heavier the more often.

mod lattice;
mod schedule;

use std::sync::{Arc, Mutex, PoisonError};

use self::lattice::Lattice;
use self::schedule::schedule;
use crate::round_robin::because;
use crate::turn::Common;
use crate::{Algorithm, Candidates, Picker, Request};

/// Everybody in turn, each as often as its weight says, and as evenly spread as can be: 5, 1, 1 gives `aabaaca`.
///
/// A cycle has as many picks as the weights add up to, divided by what divides them all, and in each cycle each instance has
/// exactly as many picks as its weight says. At any moment an instance is less than one pick behind its share or ahead of it, or 1.5
/// where one has more than half of all picks. In cycles of more than 65,536 picks it can be more: at most 5 was measured in cycles
/// of some millions, and it grows with their logarithm. When the list changes, the cycle goes on at the same part of it.
///
/// Whatever the weights, a list takes 256 KiB and 48 bytes for each instance at most.
#[derive(Debug, Default)]
pub struct WeightedRoundRobin {
    /// Where the first cycle begins, as a fraction of 2^64.
    first: u64,
    /// What the last list was made into.
    last: Mutex<Option<Arc<Cycle>>>,
}

impl WeightedRoundRobin {
    /// Begins anywhere in its cycle, and not at the beginning: so that many clients that start at the same time do not all begin with
    /// the same instance.
    pub fn from_anywhere() -> Self {
        Self { first: rand::random(), ..Self::default() }
    }
}

/// The longest cycle that is written out.
const MOST_SLOTS: u64 = 1 << 16;

impl Algorithm for WeightedRoundRobin {
    fn name(&self) -> &str {
        "weight-round-robin"
    }

    fn picker(&self, candidates: Candidates) -> Arc<dyn Picker> {
        let weights = reduced(&candidates);
        let picks = weights.iter().sum();
        let order = if weights.iter().all(|weight| *weight == 1) {
            Order::List
        } else if picks <= MOST_SLOTS {
            Order::Slots(schedule(&weights))
        } else {
            Order::Lattice(Lattice::new(&weights))
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let part = last.as_ref().map_or(self.first, |last| last.part());
        // The turn that this part of the cycle is in.
        let begin = ((u128::from(part) * u128::from(picks)) >> 64) as u64;
        let turn = Common::starting_at(begin);
        let next = Arc::new(Cycle { part, begin, turn, picks, order, weights });
        *last = Some(next.clone());
        next
    }
}

/// The weights divided by what divides all of them.
fn reduced(candidates: &Candidates) -> Box<[u64]> {
    let weights = || candidates.iter().map(|it| u64::from(it.weight()));
    let divisor = weights().fold(0, common_divisor).max(1);
    weights().map(|weight| weight / divisor).collect()
}

fn common_divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { common_divisor(other, one % other) }
}

/// The turns on one list, over and over again.
#[derive(Debug)]
struct Cycle {
    /// Where it began: a part of a cycle, as a fraction of 2^64, and the turn there. A list that nobody picks from hands on the part
    /// as it got it, however few turns its own cycle has: rounded to these it would be somewhat less after each list.
    part: u64,
    begin: u64,
    turn: Common,
    picks: u64,
    order: Order,
    weights: Box<[u64]>,
}

/// Who has which pick of a cycle.
#[derive(Debug)]
enum Order {
    /// That of the list: all weights are the same.
    List,
    Slots(Box<[u32]>),
    Lattice(Lattice),
}

impl Cycle {
    /// How far it is now, as a fraction of 2^64. Rounded up, so that it is not before the turn that it stands for.
    fn part(&self) -> u64 {
        let picks = self.picks.max(1);
        let taken = self.turn.next().wrapping_sub(self.begin) % picks;
        let passed = (u128::from(taken) << 64).div_ceil(u128::from(picks));
        self.part.wrapping_add(passed as u64)
    }
}

impl Picker for Cycle {
    #[inline]
    fn pick(&self, _: &Request<'_>) -> Option<usize> {
        match &self.order {
            Order::Slots(slots) => {
                let turn = self.turn.take().checked_rem(slots.len() as u64)?;
                Some(slots[turn as usize] as usize)
            }
            Order::List => self.turn.take().checked_rem(self.picks).map(|turn| turn as usize),
            Order::Lattice(lattice) => Some(lattice.at(self.turn.take())),
        }
    }

    fn shares(&self) -> Option<Vec<f64>> {
        Some(self.weights.iter().map(|weight| *weight as f64 / self.picks as f64).collect())
    }

    fn because(&self, chosen: bool) -> &'static str {
        because(chosen)
    }
}
