//! A cycle too long to be written out.

/// Goes through the units of weight in steps of the golden section: each unit has one pick of a cycle, and the picks of any
/// range of units are evenly spread (a rank-1 lattice; Niederreiter, "Random Number Generation and Quasi-Monte Carlo Methods",
/// 1992, chapter 5). Takes memory by the number of instances, not by their weights: up to 24 bytes each.
#[derive(Debug)]
pub(super) struct Lattice {
    picks: Modulus,
    step: u64,
    /// Where the units of each instance end.
    ends: Box<[u64]>,
    /// Who has the first unit of each part of the cycle.
    guide: Box<[u32]>,
    shift: u32,
}

impl Lattice {
    /// For weights above 0, at least one.
    pub(super) fn new(weights: &[u64]) -> Self {
        let ends: Box<[u64]> = weights
            .iter()
            .scan(0, |end, weight| {
                *end += weight;
                Some(*end)
            })
            .collect();
        let picks = ends.last().copied().unwrap_or(1);
        let mut shift = 0;
        while picks >> shift > 2 * weights.len() as u64 {
            shift += 1;
        }
        let mut owner = 0;
        let first = |part: u64| {
            while ends[owner] <= part << shift {
                owner += 1;
            }
            owner as u32
        };
        let guide = (0..=(picks - 1) >> shift).map(first).collect();
        Self { picks: Modulus::new(picks), step: step(picks), ends, guide, shift }
    }

    /// Who has this pick.
    #[inline]
    pub(super) fn at(&self, turn: u64) -> usize {
        let unit = self.picks.product(self.picks.rest(turn), self.step);
        let from = self.guide[(unit >> self.shift) as usize] as usize;
        let among = &self.ends[from..];
        from + among.iter().position(|end| unit < *end).unwrap_or_default()
    }
}

/// How many steps are compared.
const STEPS: u64 = 64;

/// A step that meets every unit once in a cycle, near the golden section, and nowhere near a simpler fraction: no term of the
/// continued fraction of step / picks is large.
fn step(picks: u64) -> u64 {
    let golden = (picks as f64 / 1.618_033_988_749_895) as u64;
    let meets_all = |step: &u64| (1..picks).contains(step) && largest_term(*step, picks).is_some();
    let steps = (golden..golden.saturating_add(STEPS)).filter(meets_all);
    steps.min_by_key(|step| largest_term(*step, picks)).unwrap_or(1)
}

/// The largest term of the continued fraction of step / picks; `None` when they have a divisor in common.
fn largest_term(step: u64, picks: u64) -> Option<u64> {
    let (mut above, mut below, mut largest) = (picks, step, 0);
    while below > 1 {
        largest = largest.max(above / below);
        (above, below) = (below, above % below);
    }
    // The last one is `above` itself, where the fraction ends: it says that the cycle does.
    (below == 1).then_some(largest)
}

/// What numbers are divided by to get the rest, without a division (Granlund and Montgomery, "Division by Invariant Integers
/// using Multiplication", 1994).
#[derive(Debug)]
struct Modulus {
    by: u64,
    inverse: u64,
}

impl Modulus {
    fn new(by: u64) -> Self {
        Self { by, inverse: u64::MAX / by }
    }

    #[inline]
    fn rest(&self, number: u64) -> u64 {
        let quotient = ((u128::from(number) * u128::from(self.inverse)) >> 64) as u64;
        // One too small or two at most: the inverse is rounded down.
        let mut rest = number - quotient * self.by;
        rest = rest.min(rest.wrapping_sub(self.by));
        rest.min(rest.wrapping_sub(self.by))
    }

    /// The rest of a product of two rests.
    #[inline]
    fn product(&self, one: u64, other: u64) -> u64 {
        if self.by >> 32 == 0 {
            self.rest(one * other)
        } else {
            (u128::from(one) * u128::from(other) % u128::from(self.by)) as u64
        }
    }
}
