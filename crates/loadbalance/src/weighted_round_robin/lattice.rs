//! A cycle too long to be written out.

/// Goes through the units of weight in steps of the golden section: each unit has one pick of a cycle, and the picks of any
/// range of units are evenly spread (a rank-1 lattice; Niederreiter, "Random Number Generation and Quasi-Monte Carlo Methods",
/// 1992, chapter 5). Takes memory by the number of instances, not by their weights: at most 40 bytes each.
#[derive(Debug)]
pub(super) struct Lattice {
    picks: u64,
    step: u64,
    /// step / picks as a fraction of 2^64, rounded up.
    fraction: u64,
    /// Turns below this have their unit exactly from the fraction: what is rounded does not add up to a unit before.
    exact: u64,
    /// Where the units of each instance end.
    ends: Box<[u64]>,
    /// Who has the first unit of each part of the cycle.
    guide: Box<[u32]>,
    shift: u32,
}

/// How many parts the guide has for each instance, at least.
const PARTS: u64 = 4;

impl Lattice {
    /// For weights above 0, at least one.
    pub(super) fn new(weights: &[u64]) -> Self {
        let add = |end: &mut u64, weight: &u64| {
            *end += weight;
            Some(*end)
        };
        let ends: Box<[u64]> = weights.iter().scan(0, add).collect();
        let picks = ends.last().copied().unwrap_or(1);
        let shift = (picks / (PARTS * weights.len() as u64)).checked_ilog2().unwrap_or(0);
        let mut owner = 0;
        let first = |part: u64| {
            while ends[owner] <= part << shift {
                owner += 1;
            }
            owner as u32
        };
        let guide = (0..=(picks - 1) >> shift).map(first).collect();
        let step = step(picks);
        let fraction = ((u128::from(step) << 64).div_ceil(u128::from(picks))) as u64;
        Self { picks, step, fraction, exact: u64::MAX / picks, ends, guide, shift }
    }

    /// Who has this pick.
    #[inline]
    pub(super) fn at(&self, turn: u64) -> usize {
        let unit = self.unit(turn);
        let mut at = self.guide[(unit >> self.shift) as usize] as usize;
        // Without a branch, since the processor could not know which way it goes; few parts have more than one end inside.
        at += usize::from(self.ends[at] <= unit);
        while self.ends[at] <= unit {
            at += 1;
        }
        at
    }

    /// The unit of a turn: turn * step, modulo picks.
    #[inline]
    fn unit(&self, turn: u64) -> u64 {
        if turn >= self.exact {
            return self.unit_of_late(turn);
        }
        let part = turn.wrapping_mul(self.fraction);
        ((u128::from(part) * u128::from(self.picks)) >> 64) as u64
    }

    #[cold]
    fn unit_of_late(&self, turn: u64) -> u64 {
        let turn = turn % self.picks;
        if turn < self.exact {
            return self.unit(turn);
        }
        (u128::from(turn) * u128::from(self.step) % u128::from(self.picks)) as u64
    }
}

/// How many steps to either side of the golden section are compared.
const STEPS: u64 = 1000;

/// A step that meets every unit once in a cycle, near the golden section, and nowhere near a simpler fraction: the terms of the
/// continued fraction of step / picks add up to little, and so nobody's picks can come much closer together than on the average.
fn step(picks: u64) -> u64 {
    let golden = (picks as f64 / 1.618_033_988_749_895) as u64;
    let near = golden.saturating_sub(STEPS).max(1)..picks.min(golden.saturating_add(STEPS));
    let steps = near.filter_map(|step| Some((sum_of_terms(step, picks)?, step)));
    steps.min().map_or(1, |(_, step)| step)
}

/// Of the continued fraction of step / picks; `None` when they have a divisor in common.
fn sum_of_terms(step: u64, picks: u64) -> Option<u64> {
    let (mut above, mut below, mut sum) = (picks, step, 0);
    while below > 0 {
        sum += above / below;
        (above, below) = (below, above % below);
    }
    (above == 1).then_some(sum)
}
