//! Finds the next point with one look into memory.

use super::ring::{Owners, PLACE_BITS, Point};

/// The circle in equal parts (see [`Point`] for what is on it), each with its points in one line of the processor's cache, in order.
/// `PER_LINE` entries fill one.
pub(super) struct Lines<E, const PER_LINE: usize> {
    lines: Box<[Line<E, PER_LINE>]>,
    /// How many bits of a place are within a line, and these.
    low: u32,
    mask: u64,
    /// How many bits of an entry say whose the point is; the upper ones say where within its line.
    owner_bits: u32,
    /// For each line that is full: the points that did not fit, and the first one of the lines after it as if it were at the
    /// last place of this one. In order.
    overflow: Box<[Point]>,
}

/// Behind its points a line has the first point of the lines after it, at the last place there can be, as often as there is room.
#[repr(align(64))]
struct Line<E, const PER_LINE: usize>([E; PER_LINE]);

/// A point within a line, in one number.
pub(super) trait Entry: Copy + Ord + Send + Sync {
    const BITS: u32;

    fn from_u64(number: u64) -> Self;
    fn to_u64(self) -> u64;
}

macro_rules! entry {
    ($E:ty) => {
        impl Entry for $E {
            const BITS: u32 = <$E>::BITS;

            #[inline]
            fn from_u64(number: u64) -> Self {
                number as $E
            }

            #[inline]
            fn to_u64(self) -> u64 {
                u64::from(self)
            }
        }
    };
}

entry!(u32);
entry!(u64);

impl<E: Entry, const PER_LINE: usize> Lines<E, PER_LINE> {
    /// How many points a line has in the mean, at most: then few do not fit.
    const MEAN: u64 = PER_LINE as u64 * 5 / 8;

    /// How many bits of a place are within a line, for so many points.
    fn low(many: u64) -> u32 {
        let mut bits = 0;
        while many > Self::MEAN << bits {
            bits += 1;
        }
        PLACE_BITS - bits
    }

    /// Whether an entry has room for whose a point is and all of where.
    pub(super) fn fit(owners: &Owners) -> bool {
        Self::low(owners.many()) + owners.bits() <= E::BITS
    }

    /// For owners whose points [`fit`](Self::fit).
    pub(super) fn new(owners: &Owners) -> Self {
        let low = Self::low(owners.many());
        let (points, ends) = sorted(owners, low);
        let mut lines = Self {
            lines: [].into(),
            low,
            mask: (1 << low) - 1,
            owner_bits: owners.bits(),
            overflow: [].into(),
        };
        let Some(first) = points.first() else { return lines };
        let last = (1 << (E::BITS - lines.owner_bits)) - 1;
        // From the last line to the first: each needs to know who comes after it.
        let bits = PLACE_BITS - low;
        let owner = |point: &Point| owners.in_list(point.owner());
        let (mut made, mut overflow, mut next) = (Vec::with_capacity(1 << bits), Vec::new(), owner(first));
        for at in (0..1 << bits).rev() {
            let here = &points[ends[at] as usize..ends[at + 1] as usize];
            let mut entries = [lines.entry(last, next); PER_LINE];
            for (entry, point) in entries.iter_mut().zip(here) {
                *entry = lines.entry(point.place() & lines.mask, owner(point));
            }
            if here.len() >= PER_LINE {
                overflow.push(Point::new(((at as u64 + 1) << low) - 1, next));
                let rest = here[PER_LINE..].iter().rev();
                overflow.extend(rest.map(|point| Point::new(point.place(), owner(point))));
            }
            made.push(Line(entries));
            next = here.first().map_or(next, owner);
        }
        made.reverse();
        overflow.reverse();
        lines.lines = made.into();
        lines.overflow = overflow.into();
        lines
    }

    #[inline]
    fn entry(&self, within: u64, owner: u32) -> E {
        E::from_u64(within << self.owner_bits | u64::from(owner))
    }

    #[inline]
    fn owner_of(&self, entry: E) -> u32 {
        (entry.to_u64() & ((1 << self.owner_bits) - 1)) as u32
    }

    /// The owner of the first point at or after a place, as a place in the list.
    #[inline]
    pub(super) fn owner(&self, place: u64) -> Option<u32> {
        let line = self.lines.get((place >> self.low) as usize)?;
        let sought = self.entry(place & self.mask, 0);
        // Halved without a branch, which the processor would guess wrong every other time.
        let (mut at, mut half) = (0, PER_LINE / 2);
        while half > 0 {
            at += half * usize::from(line.0[(at + half - 1) % PER_LINE] < sought);
            half /= 2;
        }
        let entry = line.0[at % PER_LINE];
        if entry >= sought { Some(self.owner_of(entry)) } else { self.overflowed(place) }
    }

    /// The same behind a full line.
    #[cold]
    #[inline(never)]
    fn overflowed(&self, place: u64) -> Option<u32> {
        let from = self.overflow.partition_point(|point| point.place() < place);
        self.overflow.get(from).map(|point| point.owner())
    }

    /// The owners of all points from a place on, as places in the list, once around the circle; some more than once.
    pub(super) fn owners_from(&self, place: u64) -> impl Iterator<Item = u32> {
        let first = (place >> self.low) as usize;
        let owners = move |at: usize, from: u64| {
            let sought = self.entry(from & self.mask, 0);
            let entries = self.lines.get(at).into_iter().flat_map(|line| line.0.iter());
            let entries = entries.filter(move |entry| **entry >= sought).map(|entry| self.owner_of(*entry));
            let overflow = &self.overflow[self.overflow.partition_point(|point| point.place() < from)..];
            let is_here = move |point: &&Point| (point.place() >> self.low) as usize == at;
            entries.chain(overflow.iter().take_while(is_here).map(|point| point.owner()))
        };
        let others = (first + 1..self.lines.len()).chain(0..=first);
        owners(first, place).chain(others.flat_map(move |at| owners(at, (at as u64) << self.low)))
    }
}

/// All points in order, and where those of each line end: the first line's begin at 0.
fn sorted(owners: &Owners, low: u32) -> (Vec<Point>, Vec<u32>) {
    let line = |point: Point| (point.place() >> low) as usize;
    // They are counted, then each is put into its line, then put in order there: one pass less than a sort.
    let mut ends = vec![0u32; (1 << (PLACE_BITS - low)) + 1];
    owners.points().for_each(|point| ends[line(point) + 1] += 1);
    for at in 1..ends.len() {
        ends[at] += ends[at - 1];
    }
    let mut points = vec![Point::default(); owners.many() as usize];
    let mut free = ends.clone();
    for point in owners.points() {
        let free = &mut free[line(point)];
        points[*free as usize] = point;
        *free += 1;
    }
    for line in ends.windows(2) {
        points[line[0] as usize..line[1] as usize].sort_unstable();
    }
    (points, ends)
}
