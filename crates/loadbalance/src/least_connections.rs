//! Who has the least to do.

use std::sync::Arc;

use crate::alias::Alias;
use crate::draw::{below, draw, once_more};
use crate::{Algorithm, Candidate, Candidates, Picker, Request};

/// The instance with the fewest requests in flight: exactly up to 32 instances, and above that the better one of two that are drawn,
/// which keeps the busiest close to the average (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001)
/// without looking at all of them. Of those that have equally little to do anybody is picked.
///
/// Where weights differ, one is drawn by weight, and left for another one that would have as little in flight for its weight with the
/// request as the first one has without. So an idle service is used by weight, too, and light ones are not flooded.
///
/// In flight are the picks of this balancer that are held. One whose request failed is passed over once for the first failure in a
/// row, 3 times for the second, 7, 15, 31, 63, before it gets one more try: who fails at once has little in flight, and would be given
/// everything otherwise. One that is dead and stays in the list keeps about one of 64 requests that it could have had.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastConnections;

/// Up to how many are looked at one by one. A place takes 5 bits.
const FEW: usize = 32;

impl Algorithm for LeastConnections {
    fn name(&self) -> &str {
        "least-connect"
    }

    fn picker(&self, candidates: Candidates) -> Arc<dyn Picker> {
        let weights: Vec<_> = candidates.iter().map(|it| it.weight()).collect();
        let even = weights.iter().all(|weight| *weight == weights[0]);
        match (even, candidates.len() <= FEW) {
            (true, true) => Arc::new(LeastOfFew { candidates }),
            (true, false) => Arc::new(BetterOfTwo { candidates }),
            (false, true) => Arc::new(WeightedLeastOfFew { table: Alias::new(&weights), candidates }),
            (false, false) => Arc::new(WeightedBetterOfTwo { table: Alias::new(&weights), candidates }),
        }
    }
}

/// The least of all; of equals anybody.
struct LeastOfFew {
    candidates: Candidates,
}

impl Picker for LeastOfFew {
    #[inline]
    fn pick(&self, request: &Request<'_>) -> Option<usize> {
        let Some(drawn) = draw() else { return once_more(self, request) };
        // One number for each, and no branch that the processor would guess wrong: what it has to do, its lot, and its place.
        let number = |(at, candidate): (usize, &Arc<Candidate>)| {
            let rank = candidate.load().rank();
            (rank, rank << 26 | lot(drawn, at) & !31 | at as u64)
        };
        let numbers = self.candidates.iter().enumerate().map(number);
        let (ranks, least) =
            numbers.fold((0, u64::MAX), |(ranks, least), (rank, number)| (ranks | rank, least.min(number)));
        if ranks >= FAILED {
            return least_failed(&self.candidates, drawn, request.is_retry());
        }
        Some(least as usize % FEW)
    }

    fn because(&self, chosen: bool) -> &'static str {
        because_exact(chosen)
    }
}

/// One drawn by weight, or the least of those that would have less to do all the same.
struct WeightedLeastOfFew {
    table: Alias,
    candidates: Candidates,
}

impl Picker for WeightedLeastOfFew {
    #[inline]
    fn pick(&self, request: &Request<'_>) -> Option<usize> {
        let Some(drawn) = draw() else { return once_more(self, request) };
        let favourite = Seen::new(&self.candidates, self.table.owner(drawn)?, 0)?;
        favourite_or_least(&self.candidates, favourite, drawn, request.is_retry())
    }

    fn because(&self, chosen: bool) -> &'static str {
        because_exact(chosen)
    }
}

/// The better one of two different ones.
struct BetterOfTwo {
    candidates: Candidates,
}

impl Picker for BetterOfTwo {
    #[inline]
    fn pick(&self, request: &Request<'_>) -> Option<usize> {
        let Some(drawn) = draw() else { return once_more(self, request) };
        let (first, rest) = below(drawn, self.candidates.len());
        let second = another(first, rest, self.candidates.len());
        better(&self.candidates, first, second, request.is_retry(), |one, other| one.rank < other.rank)
    }

    fn because(&self, chosen: bool) -> &'static str {
        because_drawn(chosen)
    }
}

/// One drawn by weight, or another one drawn evenly, so that nobody who has little to do is overlooked, if that would have less to do
/// all the same.
struct WeightedBetterOfTwo {
    table: Alias,
    candidates: Candidates,
}

impl Picker for WeightedBetterOfTwo {
    #[inline]
    fn pick(&self, request: &Request<'_>) -> Option<usize> {
        let (Some(one), Some(other)) = (draw(), draw()) else { return once_more(self, request) };
        let first = self.table.owner(one)?;
        let second = another(first, other, self.candidates.len());
        better(&self.candidates, first, second, request.is_retry(), Seen::relieves)
    }

    fn because(&self, chosen: bool) -> &'static str {
        because_drawn(chosen)
    }
}

/// Another place than `first` of `many`, which is at least 2, from a draw.
#[inline]
fn another(first: usize, draw: u64, many: usize) -> usize {
    let other = below(draw, many - 1).0;
    other + usize::from(other >= first)
}

/// One candidate as it was looked at.
#[derive(Clone, Copy)]
struct Seen {
    at: usize,
    rank: u64,
    weight: u32,
    /// Decides among equals: below 2^26.
    lot: u64,
}

impl Seen {
    #[inline]
    fn new(candidates: &[Arc<Candidate>], at: usize, lot: u64) -> Option<Self> {
        let candidate = candidates.get(at)?;
        Some(Self { at, rank: candidate.load().rank(), weight: candidate.weight(), lot })
    }

    /// Whether it would have less for its weight with this request than the other one with it. For those of whom neither failed: no
    /// product has more than 64 bits then. What comes of others is not used.
    #[inline]
    fn would_have_less(self, other: Self) -> bool {
        let with_it = |one: Self, other: Self| (one.rank + 1).wrapping_mul(u64::from(other.weight));
        (with_it(self, other), self.lot) < (with_it(other, self), other.lot)
    }

    /// Whether it would have as little for its weight with this request as the other one has without.
    #[inline]
    fn relieves(self, other: Self) -> bool {
        let with_it = (self.rank + 1).wrapping_mul(u64::from(other.weight));
        with_it <= other.rank.wrapping_mul(u64::from(self.weight))
    }
}

/// A lot below 2^26 for each place, all from one draw. With the same lots at every pick, or one place after the other, who comes
/// after a busy one would get what that does not.
#[inline]
fn lot(drawn: u64, at: usize) -> u64 {
    drawn.wrapping_mul(FACTORS[at % FEW]) >> 38
}

/// What the draw is multiplied by for each place, so that the lots are the numbers of a multiplicative generator that begins with
/// it. With the same factor for all, some would be the same distance apart at each draw, and one of five equals would have a quarter
/// of the picks. The factor is one of Steele and Vigna, "Computationally Easy, Spectrally Good Multipliers", 2022.
const FACTORS: [u64; FEW] = {
    let (mut factors, mut at) = ([1; FEW], 1);
    while at < FEW {
        factors[at] = 0xd134_2543_de82_ef95_u64.wrapping_mul(factors[at - 1]);
        at += 1;
    }
    factors
};

/// The favourite, or of those that relieve it the one that would have the least for its weight.
#[inline]
fn favourite_or_least(
    candidates: &[Arc<Candidate>],
    favourite: Seen,
    drawn: u64,
    is_retry: bool,
) -> Option<usize> {
    let mut least = Seen::new(candidates, 0, lot(drawn, 0))?;
    let mut ranks = favourite.rank | least.rank;
    for at in 1..candidates.len() {
        let next = Seen::new(candidates, at, lot(drawn, at))?;
        ranks |= next.rank;
        least = if next.would_have_less(least) { next } else { least };
    }
    if ranks >= FAILED {
        return least_failed(candidates, drawn, is_retry);
    }
    Some(if least.relieves(favourite) { least.at } else { favourite.at })
}

/// The second, if it is less than the first.
#[inline]
fn better(
    candidates: &[Arc<Candidate>],
    first: usize,
    second: usize,
    is_retry: bool,
    is_less: impl Fn(Seen, Seen) -> bool,
) -> Option<usize> {
    let (one, other) = (Seen::new(candidates, first, 0)?, Seen::new(candidates, second, 1)?);
    if (one.rank | other.rank) >= FAILED {
        return better_failed(candidates, first, second, is_retry);
    }
    Some(if is_less(other, one) { second } else { first })
}

/// What the rank of one that is passed over has at least.
const FAILED: u64 = 1 << 32;

/// As [`least`], where somebody failed.
#[cold]
#[inline(never)]
fn least_failed(candidates: &[Arc<Candidate>], drawn: u64, is_retry: bool) -> Option<usize> {
    best_failed(candidates, (0..candidates.len()).map(|at| (at, lot(drawn, at))), is_retry)
}

/// As [`better`], where one of them failed.
#[cold]
#[inline(never)]
fn better_failed(
    candidates: &[Arc<Candidate>],
    first: usize,
    second: usize,
    is_retry: bool,
) -> Option<usize> {
    best_failed(candidates, [(first, 0), (second, 1)].into_iter(), is_retry)
}

/// The one that is to be passed over the least often, and of equals the one with the least in flight for its weight. The others
/// were passed over once more, but only once for a request.
fn best_failed(
    candidates: &[Arc<Candidate>],
    places: impl Iterator<Item = (usize, u64)> + Clone,
    is_retry: bool,
) -> Option<usize> {
    let over = |seen: Seen| seen.rank >> 32;
    let in_flight = |seen: Seen| Seen { rank: seen.rank % FAILED, ..seen };
    let is_less = |one: Seen, other: Seen| {
        over(one) < over(other)
            || over(one) == over(other) && in_flight(one).would_have_less(in_flight(other))
    };
    let looked_at = places.clone().filter_map(|(at, lot)| Seen::new(candidates, at, lot));
    let best = looked_at.reduce(|best, next| if is_less(next, best) { next } else { best })?.at;
    if !is_retry {
        places.filter(|(at, _)| *at != best).for_each(|(at, _)| candidates[at].load().pass_over());
    }
    Some(best)
}

fn because_exact(chosen: bool) -> &'static str {
    if chosen {
        "it has the least in flight, for its weight, of those that are not passed over"
    } else {
        "another one has as little in flight for its weight, or less, or it is passed over because it failed"
    }
}

fn because_drawn(chosen: bool) -> &'static str {
    if chosen {
        "of the two that were drawn it has less in flight for its weight, or did not fail"
    } else {
        "it was not drawn, or has more in flight for its weight than the other one, or failed"
    }
}
