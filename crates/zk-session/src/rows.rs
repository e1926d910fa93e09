//! The rows of a roll, in the order of their names.

use std::sync::Arc;

use list::List;

use crate::roll::{Row, Says};

/// The most rows in a block. A change copies the entries of one block and one reference for each block: for services of
/// up to 100,000 instances, the sum of the two is small for sizes around this.
const MOST: usize = 128;

/// A block with fewer rows than this joins a neighbour that has room for it.
const FEWEST: usize = MOST / 4;

/// Rows by name, in blocks, and the list that is made of them.
///
/// A block of rows has a block of the list: the next list shares those of all blocks in which nothing changed.
pub(crate) struct Rows<T> {
    blocks: Vec<Block<T>>,
    len: usize,
    list: List<T>,
    /// Whether some block changed since the list was made.
    changed: bool,
}

/// Some rows that follow each other; never empty.
struct Block<T> {
    rows: Vec<Row<T>>,
    /// The entries that they had when the list was last made.
    listed: list::Block<T>,
    changed: bool,
}

/// Where a row is, or would be.
#[derive(Clone, Copy)]
struct Place {
    block: usize,
    row: usize,
}

impl<T> Rows<T> {
    pub(crate) fn new() -> Self {
        Self { blocks: Vec::new(), len: 0, list: List::default(), changed: false }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All of them, in the order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Row<T>> {
        self.blocks.iter().flat_map(|block| &block.rows)
    }

    /// The one of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Row<T>> {
        self.find(name).ok().map(|at| &self.blocks[at.block].rows[at.row])
    }

    /// Puts a row in its place, and gives the one that had the same name.
    pub(crate) fn put(&mut self, row: Row<T>) -> Option<Row<T>> {
        self.changed = true;
        match self.find(&row.name) {
            Ok(at) => {
                let block = &mut self.blocks[at.block];
                block.changed = true;
                Some(std::mem::replace(&mut block.rows[at.row], row))
            }
            Err(at) => {
                self.len += 1;
                let at = self.make_room(at);
                let block = &mut self.blocks[at.block];
                block.changed = true;
                block.rows.insert(at.row, row);
                None
            }
        }
    }

    /// Takes out the one of this name, and gives it back.
    pub(crate) fn remove(&mut self, name: &str) -> Option<Row<T>> {
        let at = self.find(name).ok()?;
        let block = &mut self.blocks[at.block];
        let row = block.rows.remove(at.row);
        block.changed = true;
        self.changed = true;
        self.len -= 1;
        self.tidy(at.block);
        Some(row)
    }

    /// The entries of all rows that have one.
    pub(crate) fn list(&mut self) -> List<T> {
        if std::mem::take(&mut self.changed) {
            let listed = self.blocks.iter_mut().map(Block::list);
            self.list = List::from_blocks(listed);
        }
        self.list.clone()
    }

    fn find(&self, name: &str) -> Result<Place, Place> {
        let is_before = |block: &Block<T>| block.rows.last().is_some_and(|last| *last.name < *name);
        let block = self.blocks.partition_point(is_before);
        let Some(rows) = self.blocks.get(block).map(|block| &block.rows) else {
            // Behind all that are there.
            let last = self.blocks.len().saturating_sub(1);
            return Err(Place { block: last, row: self.blocks.last().map_or(0, |block| block.rows.len()) });
        };
        match rows.binary_search_by(|row| (*row.name).cmp(name)) {
            Ok(row) => Ok(Place { block, row }),
            Err(row) => Err(Place { block, row }),
        }
    }

    /// Where the row can be put that was to be put at `at`.
    fn make_room(&mut self, at: Place) -> Place {
        let Some(full) = self.blocks.get_mut(at.block).filter(|block| block.rows.len() >= MOST) else {
            if self.blocks.is_empty() {
                self.blocks.push(Block::of(Vec::new()));
            }
            return at;
        };
        // Names that come in their order fill block after block.
        let half = if at.row == full.rows.len() { at.row } else { full.rows.len() / 2 };
        let upper = Block::of(full.rows.split_off(half));
        full.changed = true;
        self.blocks.insert(at.block + 1, upper);
        if at.row < half { at } else { Place { block: at.block + 1, row: at.row - half } }
    }

    /// After rows of this block were removed.
    fn tidy(&mut self, block: usize) {
        let left = self.blocks[block].rows.len();
        if left == 0 {
            self.blocks.remove(block);
            return;
        }
        if left >= FEWEST {
            return;
        }
        let has_room = |other: &Block<T>| other.rows.len() + left <= MOST - FEWEST;
        let mut neighbours = [block.checked_sub(1), Some(block + 1)].into_iter().flatten();
        if let Some(neighbour) = neighbours.find(|&other| self.blocks.get(other).is_some_and(has_room)) {
            let upper = self.blocks.remove(block.max(neighbour));
            let lower = &mut self.blocks[block.min(neighbour)];
            lower.rows.extend(upper.rows);
            lower.changed = true;
        }
    }
}

impl<T> Block<T> {
    fn of(rows: Vec<Row<T>>) -> Self {
        Self { rows, listed: [].into(), changed: true }
    }

    fn list(&mut self) -> list::Block<T> {
        if std::mem::take(&mut self.changed) {
            let entry = |row: &'_ Row<T>| match &row.says {
                Says::Good(entry) => Some(entry.clone()),
                Says::Hidden | Says::Bad(_) => None,
            };
            let now: Vec<_> = self.rows.iter().filter_map(entry).collect();
            let same = now.len() == self.listed.len()
                && now.iter().zip(&*self.listed).all(|(now, before)| Arc::ptr_eq(now, before));
            if !same {
                self.listed = now.into();
            }
        }
        self.listed.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::roll::Version;

    fn row(name: &str, says: Says<u32>) -> Row<u32> {
        let version = Version { czxid: 0, mzxid: 0, content: 0 };
        Row { name: name.into(), version, says }
    }

    fn name(number: u32) -> String {
        format!("{number:05}")
    }

    fn full(numbers: impl IntoIterator<Item = u32>) -> Rows<u32> {
        let mut rows = Rows::new();
        for number in numbers {
            rows.put(row(&name(number), Says::Good(Arc::new(number))));
        }
        rows
    }

    fn listed(rows: &mut Rows<u32>) -> Vec<u32> {
        rows.list().iter().map(|entry| **entry).collect()
    }

    fn is_sound(rows: &Rows<u32>) -> bool {
        let lens: Vec<_> = rows.blocks.iter().map(|block| block.rows.len()).collect();
        lens.iter().all(|len| (1..=MOST).contains(len))
            && lens.iter().sum::<usize>() == rows.len
            && rows.iter().map(|row| &row.name).is_sorted_by(|a, b| a < b)
    }

    #[test]
    fn a_change_of_one_row_renews_one_block() {
        let mut rows = full(0..1_000);
        let before = rows.list();
        for (what, change) in [
            (
                "another value",
                (|rows| assert!(rows.put(row(&name(500), Says::Good(Arc::new(0)))).is_some()))
                    as fn(&mut Rows<u32>),
            ),
            ("a row more", |rows| assert!(rows.put(row("00500a", Says::Good(Arc::new(0)))).is_none())),
            ("a row less", |rows| assert!(rows.remove(&name(501)).is_some())),
            ("one that is not listed any more", |rows| {
                assert!(rows.put(row(&name(502), Says::Hidden)).is_some());
            }),
        ] {
            let (old, ()) = (rows.list(), change(&mut rows));
            let new = rows.list();
            let (gone, come) = (old.not_shared_with(&new).count(), new.not_shared_with(&old).count());
            assert!(gone <= MOST && come <= MOST + 1 && !new.is_same(&old), "{what}: {gone} {come}");
        }
        assert_eq!(before.len(), 1_000);
        assert!(is_sound(&rows));
    }

    #[test]
    fn what_changes_no_entry_changes_no_list() {
        let mut rows = full(0..300);
        let before = rows.list();
        rows.put(row("00290a", Says::Bad("broken".into())));
        let entry = before[20].clone();
        rows.put(row(&name(20), Says::Good(entry)));
        assert!(rows.remove("nobody").is_none());
        let after = rows.list();
        assert!(after.is_same(&before) && after.not_shared_with(&before).count() == 0);
    }

    #[test]
    fn names_in_their_order_fill_blocks_and_rows_that_go_leave_no_crumbs() {
        let mut rows = full(0..1_280);
        assert_eq!(rows.blocks.len(), 10);
        for number in (0..1_280).filter(|number| number % 50 != 0) {
            rows.remove(&name(number));
        }
        assert!(is_sound(&rows) && rows.len() == 26);
        assert!(rows.blocks.len() <= 2, "{}", rows.blocks.len());
    }

    #[test]
    fn a_small_block_joins_a_neighbour_that_has_room_and_the_list_stays_whole() {
        // How many rows are left in each of three blocks, one after the other from there on; and which blocks that makes.
        for (lens, expected) in [
            ([65, 31, 128], vec![96, 128]),
            ([66, 31, 128], vec![66, 31, 128]),
            ([128, 31, 65], vec![128, 96]),
            ([128, 31, 66], vec![128, 31, 66]),
            ([65, 31, 65], vec![96, 65]),
            ([31, 65, 128], vec![96, 128]),
            ([128, 65, 31], vec![128, 96]),
            ([128, 64, 32], vec![128, 64, 32]),
            ([128, 0, 128], vec![128, 128]),
        ] {
            let mut rows = full(0..384);
            let mut left: Vec<_> = (0..384).collect();
            let mut blocks: Vec<_> = lens.into_iter().zip([0, 128, 256]).collect();
            // The smallest one last, when its neighbours are as they will be.
            blocks.sort_by_key(|(len, _)| std::cmp::Reverse(*len));
            for (len, first) in blocks {
                for number in first + len..first + 128 {
                    assert!(rows.remove(&name(number)).is_some());
                    left.retain(|other| *other != number);
                    assert_eq!(listed(&mut rows), left);
                }
            }
            assert!(is_sound(&rows));
            let blocks: Vec<_> = rows.blocks.iter().map(|block| block.rows.len()).collect();
            assert_eq!(blocks, expected, "{lens:?}");
        }
    }

    proptest! {
        #[test]
        fn rows_are_like_a_map(
            begun_with in 0..600_u32,
            steps in vec((0..600_u32, 0..4_u32, 0..10_u32), 0..1_000),
            removed in 1..10_u32,
            look in 1..30_usize,
        ) {
            let mut rows = full(0..begun_with);
            let mut map: BTreeMap<_, _> = (0..begun_with).map(|number| (number, Some(number))).collect();
            for (step, (number, what, removes)) in steps.into_iter().enumerate() {
                if removes < removed {
                    prop_assert_eq!(rows.remove(&name(number)).is_some(), map.remove(&number).is_some());
                } else {
                    let says = if what == 1 { Says::Hidden } else { Says::Good(Arc::new(number * what)) };
                    map.insert(number, (what != 1).then_some(number * what));
                    rows.put(row(&name(number), says));
                }
                if step % look == 0 {
                    prop_assert_eq!(listed(&mut rows), map.values().flatten().copied().collect::<Vec<_>>());
                    prop_assert!(is_sound(&rows));
                    prop_assert_eq!(rows.get(&name(number)).is_some(), map.contains_key(&number));
                }
            }
        }
    }
}
