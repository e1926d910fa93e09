//! Who has the least to do.

use std::sync::Arc;

use crate::alias::Alias;
use crate::candidate::Load;
use crate::draw::{below, draw};
use crate::{Algorithm, Candidates, Picker, Request};

/// The instance with the fewest requests in flight for its weight: exactly up to 32 instances, and above that the better one of
/// two that are drawn, which keeps the busiest close to the average (Mitzenmacher, "The Power of Two Choices in Randomized Load
/// Balancing", 2001) without looking at all of them.
///
/// In flight are the picks of this balancer that are held. Of those that have equally little to do anybody is picked, the heavier
/// the likelier. One whose request failed is passed over once for the first failure in a row, 3 times for the second, 7, 15, 31,
/// 63, before it gets one more try: who fails at once has little in flight, and would be given everything otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastConnections;

/// Up to how many are looked at one by one.
const FEW: usize = 32;

impl Algorithm for LeastConnections {
    fn name(&self) -> &str {
        "least-connect"
    }

    fn picker(&self, candidates: Candidates) -> Arc<dyn Picker> {
        let loads: Box<[_]> = candidates.iter().map(|it| it.load().clone()).collect();
        let weights: Vec<_> = candidates.iter().map(|it| it.weight()).collect();
        let even = weights.iter().all(|weight| *weight == weights[0]);
        match (even, loads.len() <= FEW) {
            (true, true) => Arc::new(LeastOfFew { loads }),
            (true, false) => Arc::new(BetterOfTwo { loads }),
            (false, few) => Arc::new(Weighted { table: Alias::new(&weights), loads, weights, few }),
        }
    }
}

/// The least of all; of equals the first from a random place on.
struct LeastOfFew {
    loads: Box<[Arc<Load>]>,
}

impl Picker for LeastOfFew {
    #[inline]
    fn pick(&self, _: &Request<'_>) -> Option<usize> {
        let many = self.loads.len();
        let mut at = below(draw(), many).0;
        let (mut best, mut least) = (at, self.loads.get(at)?.rank());
        let mut seen = least;
        for _ in 1..many {
            at = if at + 1 == many { 0 } else { at + 1 };
            let rank = self.loads[at].rank();
            seen |= rank;
            (best, least) = if rank < least { (at, rank) } else { (best, least) };
        }
        if seen >= FAILED {
            pass_over_all_but(best, &self.loads);
        }
        Some(best)
    }

    fn because(&self, chosen: bool) -> &'static str {
        because_exact(chosen)
    }
}

/// What the rank of one that is passed over has at least.
const FAILED: u64 = 1 << 32;

#[cold]
fn pass_over_all_but(best: usize, loads: &[Arc<Load>]) {
    for (index, load) in loads.iter().enumerate() {
        if index != best {
            load.passed_over(load.rank());
        }
    }
}

/// The better one of two different ones.
struct BetterOfTwo {
    loads: Box<[Arc<Load>]>,
}

impl Picker for BetterOfTwo {
    #[inline]
    fn pick(&self, _: &Request<'_>) -> Option<usize> {
        let (one, other) = two(self.loads.len());
        let (mine, its) = (self.loads[one].rank(), self.loads[other].rank());
        let (best, rest, most) = if mine <= its { (one, other, its) } else { (other, one, mine) };
        if most >= FAILED {
            self.loads[rest].passed_over(most);
        }
        Some(best)
    }

    fn because(&self, chosen: bool) -> &'static str {
        because_drawn(chosen)
    }
}

/// Two different places of `many`, which is at least 2.
#[inline]
fn two(many: usize) -> (usize, usize) {
    let (one, rest) = below(draw(), many);
    let (other, _) = below(rest, many - 1);
    (one, if other >= one { other + 1 } else { other })
}

/// The least for its weight.
struct Weighted {
    table: Alias,
    loads: Box<[Arc<Load>]>,
    weights: Vec<u32>,
    few: bool,
}

impl Weighted {
    /// Whether one has less to do than the other. Who is passed over comes last.
    #[inline]
    fn is_less(&self, one: (usize, u64), other: (usize, u64)) -> bool {
        let (mine, its) = (one.1, other.1);
        if (mine | its) >= FAILED && mine >> 32 != its >> 32 {
            return mine < its;
        }
        let in_flight = |rank: u64| u64::from(rank as u32);
        in_flight(mine) * u64::from(self.weights[other.0]) < in_flight(its) * u64::from(self.weights[one.0])
    }

    fn least(&self, first: usize) -> usize {
        let (mut best, mut at) = ((first, self.loads[first].rank()), first);
        let mut seen = best.1;
        for _ in 1..self.loads.len() {
            at = if at + 1 == self.loads.len() { 0 } else { at + 1 };
            let next = (at, self.loads[at].rank());
            seen |= next.1;
            best = if self.is_less(next, best) { next } else { best };
        }
        if seen >= FAILED {
            pass_over_all_but(best.0, &self.loads);
        }
        best.0
    }

    #[inline]
    fn better(&self, first: usize) -> Option<usize> {
        let mut second = self.table.draw()?;
        if second == first {
            // Drawn again, now without weights: that cannot be the same one.
            let other = below(draw(), self.loads.len() - 1).0;
            second = if other >= first { other + 1 } else { other };
        }
        let (one, other) = ((first, self.loads[first].rank()), (second, self.loads[second].rank()));
        let (best, rest) = if self.is_less(other, one) { (other, one) } else { (one, other) };
        if rest.1 >= FAILED {
            self.loads[rest.0].passed_over(rest.1);
        }
        Some(best.0)
    }
}

impl Picker for Weighted {
    #[inline]
    fn pick(&self, _: &Request<'_>) -> Option<usize> {
        let first = self.table.draw()?;
        if self.few { Some(self.least(first)) } else { self.better(first) }
    }

    fn because(&self, chosen: bool) -> &'static str {
        if self.few { because_exact(chosen) } else { because_drawn(chosen) }
    }
}

fn because_exact(chosen: bool) -> &'static str {
    if chosen {
        "it has the least in flight for its weight"
    } else {
        "another one has as little in flight for its weight, or less"
    }
}

fn because_drawn(chosen: bool) -> &'static str {
    if chosen {
        "of the two that were drawn it has less in flight for its weight"
    } else {
        "it was not drawn, or the other one that was has less in flight for its weight"
    }
}
