//! Finds the next point with one look into memory.

use super::ring::{Owners, PLACE_BITS, Point};

/// The circle in equal parts (see [`Point`] for what is on it), each with its points in one line of the processor's cache, in order. `PER_LINE` entries fill one.
pub(super) struct Lines<E, const PER_LINE: usize> {
    lines: Box<[Line<E, PER_LINE>]>,
    /// How many bits of a place are within a line, and how many of these an entry does not have.
    low: u32,
    lost: u32,
    /// By how much an entry has to be behind a place to be surely so: 0, or 1 where bits are lost.
    margin: u64,
    /// The bits of a place that are within a line.
    mask: u64,
    /// For each line that is full: the points that did not fit, and the first one of the lines after it as if it were at the
    /// last place of this one. In order.
    overflow: Box<[Point]>,
}

/// Behind its points a line has the first point of the lines after it, as often as there is room.
#[repr(align(64))]
struct Line<E, const PER_LINE: usize>([E; PER_LINE]);

impl<E: Entry, const PER_LINE: usize> Lines<E, PER_LINE> {
    /// How many points a line has in the mean, at most: then few do not fit.
    const MEAN: u64 = PER_LINE as u64 * 5 / 8;

    pub(super) fn new(owners: &Owners) -> Self {
        let mut bits = 0;
        while owners.many() > Self::MEAN << bits {
            bits += 1;
        }
        let low = PLACE_BITS - bits;
        let (points, ends) = sorted(owners, low);
        let lost = low.saturating_sub(E::BITS);
        let (margin, mask) = (u64::from(lost > 0), (1 << low) - 1);
        let mut lines = Self { lines: [].into(), low, lost, margin, mask, overflow: [].into() };
        let Some(first) = points.first() else { return lines };
        // From the last line to the first: each needs to know who comes after it.
        let (mut made, mut overflow, mut next) = (Vec::with_capacity(1 << bits), Vec::new(), first.owner());
        for at in (0..1 << bits).rev() {
            let here = &points[ends[at] as usize..ends[at + 1] as usize];
            let mut entries = [E::new(E::LAST, next); PER_LINE];
            for (entry, point) in entries.iter_mut().zip(here) {
                *entry = E::new(lines.within(point.place()), point.owner());
            }
            if here.len() >= PER_LINE {
                overflow.push(Point::new(((at as u64 + 1) << low) - 1, next));
                overflow.extend(here[PER_LINE..].iter().rev());
            }
            made.push(Line(entries));
            next = here.first().map_or(next, |first| first.owner());
        }
        made.reverse();
        overflow.reverse();
        lines.lines = made.into();
        lines.overflow = overflow.into();
        lines
    }

    /// The owner of the first point at or after a place, as a place in the list.
    #[inline]
    pub(super) fn owner(&self, place: u64, owners: &Owners) -> Option<usize> {
        let line = self.lines.get((place >> self.low) as usize)?;
        let within = self.within(place);
        let sought = E::new(within, 0);
        // Halved without a branch, which the processor would guess wrong every other time.
        let (mut at, mut half) = (0, PER_LINE / 2);
        while half > 0 {
            at += half * usize::from(line.0[(at + half - 1) % PER_LINE] < sought);
            half /= 2;
        }
        let entry = line.0[at % PER_LINE];
        if entry.within() >= within + self.margin {
            return owners.in_list(entry.owner());
        }
        self.owner_exactly(place, owners)
    }

    /// The owners of all points from a place on, once around the circle; some more than once.
    pub(super) fn owners_from(&self, place: u64) -> impl Iterator<Item = u32> {
        let first = (place >> self.low) as usize;
        let owners = move |at: usize, from: u64| {
            let within = self.within(from);
            let entries = self.lines.get(at).into_iter().flat_map(|line| line.0.iter());
            let entries = entries.filter(move |entry| entry.within() >= within).map(|entry| entry.owner());
            let overflow = &self.overflow[self.overflow.partition_point(|point| point.place() < from)..];
            let is_here = move |point: &&Point| (point.place() >> self.low) as usize == at;
            entries.chain(overflow.iter().take_while(is_here).map(|point| point.owner()))
        };
        let others = (first + 1..self.lines.len()).chain(0..=first);
        owners(first, place).chain(others.flat_map(move |at| owners(at, (at as u64) << self.low)))
    }

    #[inline]
    fn within(&self, place: u64) -> u64 {
        (place & self.mask) >> self.lost
    }

    /// The same for a place that is in one with a point as far as entries can tell, or behind a full line.
    #[cold]
    #[inline(never)]
    fn owner_exactly(&self, place: u64, owners: &Owners) -> Option<usize> {
        let at = place >> self.low;
        let (line, within) = (self.lines.get(at as usize)?, self.within(place));
        let mut alike: Vec<_> =
            line.0.iter().filter(|it| it.within() == within).map(|it| it.owner()).collect();
        alike.dedup();
        let is_next = |point: &Point| {
            point.place() >= place && point.place() >> self.low == at && self.within(point.place()) == within
        };
        let points = alike.iter().flat_map(|owner| owners.points_of(*owner)).filter(is_next);
        let later = || line.0.iter().find(|entry| entry.within() > within).map(|entry| entry.owner());
        let overflow = || {
            let from = self.overflow.partition_point(|point| point.place() < place);
            self.overflow.get(from).filter(|point| point.place() >> self.low == at).map(|point| point.owner())
        };
        let after = || line.0.last().map(|entry| entry.owner());
        let owner = points.min().map(Point::owner).or_else(later).or_else(overflow).or_else(after);
        owners.in_list(owner?)
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

/// Where a point is within its line, in the upper bits, and whose it is.
pub(super) trait Entry: Copy + Ord + Send + Sync {
    /// How many bits say where.
    const BITS: u32;
    /// How many owners it can tell apart.
    const OWNERS: usize;
    /// The last place within a line.
    const LAST: u64 = (1 << Self::BITS) - 1;

    fn new(within: u64, owner: u32) -> Self;
    fn within(self) -> u64;
    fn owner(self) -> u32;
}

macro_rules! entry {
    ($E:ty, $bits:literal) => {
        impl Entry for $E {
            const BITS: u32 = $bits;
            const OWNERS: usize = 1 << (<$E>::BITS - $bits);

            #[inline]
            fn new(within: u64, owner: u32) -> Self {
                (within as $E) << (<$E>::BITS - $bits) | owner as $E
            }

            #[inline]
            fn within(self) -> u64 {
                (self >> (<$E>::BITS - $bits)) as u64
            }

            #[inline]
            fn owner(self) -> u32 {
                (self & (<$E>::MAX >> $bits)) as u32
            }
        }
    };
}

entry!(u32, 16);
entry!(u64, 40);
