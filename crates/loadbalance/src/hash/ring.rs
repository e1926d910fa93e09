//! Where the keys of each instance are.

use std::sync::Arc;

use twox_hash::XxHash3_64;

use crate::Candidate;

/// How many points an instance of the scale's weight has. More make the shares more even and cost memory.
const POINTS: u64 = 1024;

/// How many points there are at most, but for one that everybody has.
const MOST_POINTS: u64 = 1 << 22;

/// How many bits of a hash are a place; the others of a point say whose it is. With so few, entries of 4 bytes are exact for lists of
/// up to some 30,000; 4 million points still lie 4,000 places apart.
pub(super) const PLACE_BITS: u32 = 34;
pub(super) const OWNER_BITS: u32 = u64::BITS - PLACE_BITS;

/// A place on a circle of 2^34 and whose it is. A key belongs to the first point at or after its own place.
/// Points at the same place, which are rare, are in the order of their owners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point(u64);

impl Point {
    #[inline]
    pub(super) fn new(place: u64, owner: u32) -> Self {
        Self(place << OWNER_BITS | u64::from(owner))
    }

    #[inline]
    pub(super) fn place(self) -> u64 {
        self.0 >> OWNER_BITS
    }

    #[inline]
    pub(super) fn owner(self) -> u32 {
        (self.0 & ((1 << OWNER_BITS) - 1)) as u32
    }
}

/// Who has points, and which. Owners are counted in the order of their ids, so that nothing depends on that of the list.
pub(super) struct Owners {
    /// The hash of the id of each, and how many points it has.
    each: Box<[(u64, u32)]>,
    /// Where each is in the list, if that is in another order.
    in_list: Option<Box<[u32]>>,
}

impl Owners {
    pub(super) fn new(candidates: &[Arc<Candidate>]) -> Self {
        // Nobody has a list of 16 million; the rest of one gets no keys.
        let candidates = &candidates[..candidates.len().min(1 << 24)];
        let scale = Scale::of(candidates);
        let owner = |it: &Arc<Candidate>| {
            (XxHash3_64::oneshot(it.id().as_str().as_bytes()), scale.points(it.weight()))
        };
        if candidates.is_sorted_by_key(|candidate| candidate.id()) {
            return Self { each: candidates.iter().map(owner).collect(), in_list: None };
        }
        let mut in_list: Box<[u32]> = (0..candidates.len() as u32).collect();
        in_list.sort_unstable_by_key(|at| candidates[*at as usize].id());
        Self {
            each: in_list.iter().map(|at| owner(&candidates[*at as usize])).collect(),
            in_list: Some(in_list),
        }
    }

    /// How many bits it takes to tell them apart.
    pub(super) fn bits(&self) -> u32 {
        usize::BITS - self.len().saturating_sub(1).leading_zeros()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.each.len()
    }

    /// Where an owner is in the list.
    pub(super) fn in_list(&self, owner: u32) -> u32 {
        self.in_list.as_ref().map_or(owner, |in_list| in_list[owner as usize])
    }

    /// The part of all places that belongs to each in the list.
    pub(super) fn shares(&self) -> Vec<f64> {
        let mut points: Vec<_> = self.points().collect();
        points.sort_unstable();
        let circle = 1u64 << PLACE_BITS;
        let mut shares = vec![0.0; self.len()];
        let mut before = points.last().map_or(0, |last| last.place());
        for point in points {
            let share = ((point.place() + circle - before) % circle) as f64 / circle as f64;
            shares[self.in_list(point.owner()) as usize] += share;
            before = point.place();
        }
        shares
    }

    /// How many points there are.
    pub(super) fn many(&self) -> u64 {
        self.each.iter().map(|(_, many)| u64::from(*many)).sum()
    }

    /// All points, in no order.
    pub(super) fn points(&self) -> impl Iterator<Item = Point> {
        (0..self.each.len() as u32).flat_map(|owner| self.points_of(owner))
    }

    /// The points of one: numbers of SplitMix64 (Steele, Lea and Flood, 2014) that begin with the hash of its id. Fewer of them
    /// are the first of more.
    pub(super) fn points_of(&self, owner: u32) -> impl Iterator<Item = Point> + use<> {
        let (first, many) = self.each[owner as usize];
        let place = move |number: u32| mix(first.wrapping_add(u64::from(number))) >> OWNER_BITS;
        (0..many).map(move |number| Point::new(place(number), owner))
    }
}

/// How many points weights are worth. Only powers of two, so that few changes of a list change it: what changes it moves keys of
/// everybody. The mean weight is rounded down first: a few heavier ones among many of weight 1 change nothing.
#[derive(Clone, Copy)]
struct Scale {
    unit: u64,
    points: u64,
}

impl Scale {
    fn of(candidates: &[Arc<Candidate>]) -> Self {
        let many = candidates.len().max(1) as u64;
        let total: u64 = candidates.iter().map(|it| u64::from(it.weight())).sum();
        let mut scale = Self { unit: (total / many).next_power_of_two(), points: POINTS };
        let points =
            |scale: Self| candidates.iter().map(|it| u64::from(scale.points(it.weight()))).sum::<u64>();
        while scale.points > 1 && points(scale) > MOST_POINTS {
            scale.points /= 2;
        }
        scale
    }

    /// Rounded down, and never none.
    fn points(self, weight: u32) -> u32 {
        let many = (u64::from(weight) * self.points / self.unit).max(1);
        u32::try_from(many).unwrap_or(u32::MAX)
    }
}

/// The number of SplitMix64 that belongs to this one.
#[inline]
fn mix(number: u64) -> u64 {
    let state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
