//! One after the other, the heavier the more often.

mod lattice;
mod schedule;

use std::sync::{Arc, Mutex, PoisonError};

use self::lattice::Lattice;
use self::schedule::schedule;
use crate::round_robin::because;
use crate::turn::Shared;
use crate::{Algorithm, Candidates, Picker, Request};

/// Everybody in turn, each as often as its weight says, and as evenly spread as can be: 5, 1, 1 gives `aabaaca`.
///
/// A cycle has as many picks as the weights add up to, divided by what divides them all, and in each cycle each instance has
/// exactly as many picks as its weight says. At any moment an instance is less than one pick behind its share or ahead of it, or 1.5
/// where one has more than half of all picks. In cycles of more than 65,536 picks it can be more: at most 5 was measured in cycles
/// of some millions, and it grows with their logarithm. When the list changes, the cycle goes on at the same part of it.
#[derive(Debug, Default)]
pub struct WeightedRoundRobin {
    /// What the last list was made into.
    last: Mutex<Option<Arc<Cycle>>>,
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
        let turn = last.as_ref().map_or(0, |last| last.continued(picks));
        let next = Arc::new(Cycle { turn: Shared::starting_at(turn), picks, order, weights });
        // Nobody had a turn on an empty list: what was before it counts.
        if picks > 0 {
            *last = Some(next.clone());
        }
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
    turn: Shared,
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
    /// How far this cycle is, as a turn of one with so many picks.
    fn continued(&self, picks: u64) -> u64 {
        let Some(turn) = self.turn.next().checked_rem(self.picks) else { return 0 };
        (u128::from(turn) * u128::from(picks) / u128::from(self.picks)) as u64
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
