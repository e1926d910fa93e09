//! One after the other.

use std::sync::{Arc, Mutex, PoisonError};

use crate::turn::{Common, PerThread};
use crate::{Algorithm, Candidate, Candidates, Picker, Request};

/// Everybody in turn, in the order of the list, whatever their weights.
///
/// While a list lasts, over any N picks in a row each of its N instances has exactly one, but for those that had been tried. When
/// the list changes, the turn goes on with whose turn it was.
#[derive(Debug, Default)]
pub struct RoundRobin {
    /// Where the first list begins, if it has so many.
    first: u64,
    /// What the last list was made into. Its turn is where the next one begins.
    last: Mutex<Option<Arc<Rotation>>>,
    per_thread: Option<PerThread>,
}

impl RoundRobin {
    /// Begins with anybody, and not with the first: so that many clients that start at the same time do not all begin there.
    pub fn from_anywhere() -> Self {
        Self { first: u64::from(rand::random::<u32>()), ..Self::default() }
    }

    /// With a turn for each thread, which saves threads on many processors from waiting for one counter. Each thread goes
    /// through the list in order; how the picks of several threads lie to each other is not said.
    pub fn per_thread() -> Self {
        Self { per_thread: Some(PerThread::default()), ..Self::default() }
    }
}

impl Algorithm for RoundRobin {
    fn name(&self) -> &str {
        "round-robin"
    }

    fn picker(&self, candidates: Candidates) -> Arc<dyn Picker> {
        if let Some(turn) = &self.per_thread {
            turn.fit(candidates.len() as u64);
            return Arc::new(RotationPerThread { turn: turn.clone(), among: candidates.len() as u64 });
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = last.as_ref().map_or(self.first, |last| last.continued(&candidates));
        let next = Arc::new(Rotation {
            turn: Common::starting_at(turn),
            among: candidates.len() as u64,
            candidates,
        });
        *last = Some(next.clone());
        next
    }
}

/// The turns on one list.
#[derive(Debug)]
struct Rotation {
    turn: Common,
    among: u64,
    candidates: Candidates,
}

/// How many of those whose turn would be next are looked for in a new list, before the turn goes on by place alone.
const LOOKED_FOR: usize = 16;

impl Rotation {
    /// Whose turn it would be next, as a place in another list.
    fn continued(&self, list: &[Arc<Candidate>]) -> u64 {
        let Some(place) = self.turn.next().checked_rem(self.among) else { return 0 };
        let (before, from) = self.candidates.split_at(place as usize);
        let in_turn = from.iter().chain(before).take(LOOKED_FOR);
        let found = |next: &Arc<Candidate>| list.iter().position(|it| it.id() == next.id());
        in_turn.into_iter().find_map(found).map_or(place, |place| place as u64)
    }
}

impl Picker for Rotation {
    #[inline]
    fn pick(&self, _: &Request<'_>) -> Option<usize> {
        self.turn.take().checked_rem(self.among).map(|place| place as usize)
    }

    fn shares(&self) -> Option<Vec<f64>> {
        Some(vec![1.0 / self.among as f64; self.among as usize])
    }

    fn because(&self, chosen: bool) -> &'static str {
        because(chosen)
    }
}

/// The turns of each thread on one list.
#[derive(Debug)]
struct RotationPerThread {
    turn: PerThread,
    among: u64,
}

impl Picker for RotationPerThread {
    #[inline]
    fn pick(&self, _: &Request<'_>) -> Option<usize> {
        Some(self.turn.take(self.among) as usize)
    }

    fn shares(&self) -> Option<Vec<f64>> {
        Some(vec![1.0 / self.among as f64; self.among as usize])
    }

    fn because(&self, chosen: bool) -> &'static str {
        because(chosen)
    }
}

pub(crate) fn because(chosen: bool) -> &'static str {
    if chosen { "it was its turn" } else { "it was another one's turn" }
}
