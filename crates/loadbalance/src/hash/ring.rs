//! Where the keys of each instance are.

use std::cmp::Ordering;
use std::sync::Arc;

use proto::InstanceId;
use twox_hash::XxHash3_64;

use crate::Candidate;

/// How many points an instance of the scale's weight has. More make the shares more even and cost memory.
const POINTS: u64 = 640;

/// How many points there are at most, but for one that everybody has.
const MOST_POINTS: u64 = 1 << 22;

/// The lower bits of a point say whose it is, the upper 40 where.
const INDEX_BITS: u32 = 24;
const INDEX: u64 = (1 << INDEX_BITS) - 1;

/// Points on a circle of 2^64 places; a key belongs to the first point at or after its place.
pub(super) struct Ring {
    /// In order, and one more at the end: the first one again.
    points: Box<[u64]>,
    /// The first point of each of equal parts of the circle, so that a search is a step or two.
    guide: Box<[u32]>,
    shift: u32,
}

impl Ring {
    pub(super) fn new(candidates: &[Arc<Candidate>]) -> Self {
        let candidates = &candidates[..candidates.len().min(INDEX as usize)];
        let scale = Scale::of(candidates);
        let many: u64 = candidates.iter().map(|it| scale.points(it.weight())).sum();
        let bits = u64::BITS - many.saturating_sub(1).leading_zeros().min(63);
        let shift = u64::BITS - bits;
        // Points are counted for each part of the circle, then put there, then put in order: one pass less than a sort.
        let mut guide = vec![0u32; (1 << bits) + 1].into_boxed_slice();
        let part = |point: u64| (point >> shift) as usize;
        for (index, candidate) in candidates.iter().enumerate() {
            points_of(candidate.id(), index, scale.points(candidate.weight()))
                .for_each(|it| guide[part(it) + 1] += 1);
        }
        for at in 1..guide.len() {
            guide[at] += guide[at - 1];
        }
        let mut points = vec![0u64; many as usize + 1];
        let mut free = guide.clone();
        for (index, candidate) in candidates.iter().enumerate() {
            for point in points_of(candidate.id(), index, scale.points(candidate.weight())) {
                let free = &mut free[part(point)];
                points[*free as usize] = point;
                *free += 1;
            }
        }
        let in_order = |one: &u64, other: &u64| order(*one, *other, candidates);
        for part in guide.windows(2) {
            points[part[0] as usize..part[1] as usize].sort_unstable_by(in_order);
        }
        // Without instances there is no point at all.
        if many == 0 {
            points.clear()
        } else {
            points[many as usize] = points[0] | !INDEX
        }
        Self { points: points.into_boxed_slice(), guide, shift }
    }

    /// Whose a place is.
    #[inline]
    pub(super) fn owner(&self, place: u64) -> Option<usize> {
        let from = *self.guide.get((place >> self.shift) as usize)?;
        let point = self.points.get(from as usize..)?.iter().find(|point| **point >= place & !INDEX)?;
        Some((point & INDEX) as usize)
    }

    /// The part of all places that belongs to each of so many.
    pub(super) fn shares(&self, among: usize) -> Vec<f64> {
        let mut shares = vec![0.0; among];
        let mut before = 0;
        for point in &self.points {
            let place = point >> INDEX_BITS;
            shares[(point & INDEX) as usize] += (place - before) as f64 / (u64::MAX >> INDEX_BITS) as f64;
            before = place;
        }
        shares
    }
}

/// Two points at the same place are rare, and have an order that does not depend on the rest of the list.
#[inline]
fn order(one: u64, other: u64, candidates: &[Arc<Candidate>]) -> Ordering {
    let id = |point: u64| candidates[(point & INDEX) as usize].id();
    (one & !INDEX).cmp(&(other & !INDEX)).then_with(|| id(one).cmp(id(other)))
}

/// How many points weights are worth. Only powers of two, so that few changes of a list change it: what changes it moves keys of
/// everybody.
#[derive(Clone, Copy)]
struct Scale {
    unit: u64,
    points: u64,
}

impl Scale {
    fn of(candidates: &[Arc<Candidate>]) -> Self {
        let many = candidates.len().max(1) as u64;
        let total: u64 = candidates.iter().map(|it| u64::from(it.weight())).sum();
        let mut points = POINTS;
        while points > 1 && points * many > MOST_POINTS {
            points /= 2;
        }
        Self { unit: (total / many).next_power_of_two(), points }
    }

    /// At most `points` in the mean, rounded down, and never none.
    fn points(self, weight: u32) -> u64 {
        (u64::from(weight) * self.points / self.unit).max(1)
    }
}

/// The points of an instance: numbers of SplitMix64 (Steele, Lea and Flood, 2014) that begin with its id. Fewer of them are the
/// first of more.
fn points_of(id: &InstanceId, index: usize, many: u64) -> impl Iterator<Item = u64> {
    let first = XxHash3_64::oneshot(id.as_str().as_bytes());
    (0..many).map(move |number| (mix(first.wrapping_add(number)) & !INDEX) | index as u64)
}

/// The next number of SplitMix64 after this state.
#[inline]
pub(super) fn mix(state: u64) -> u64 {
    let state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
