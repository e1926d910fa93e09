//! The list, and the blocks that it is made of.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::ops::Index;
use std::sync::Arc;

use crate::Iter;

/// Some entries of a [`List`] that follow each other.
pub type Block<T> = Arc<[Arc<T>]>;

/// How many entries a block has in a list that is made of single entries.
const PER_BLOCK: usize = 128;

/// A list that never changes. Cloning it counts one reference.
pub struct List<T> {
    parts: Arc<[Part<T>]>,
}

pub(crate) struct Part<T> {
    pub(crate) block: Block<T>,
    /// How many entries of the list are in this block and those before it.
    end: usize,
}

impl<T> List<T> {
    /// The list of all entries of these blocks, which it shares. Empty blocks are left out.
    ///
    /// Each block is to be given once: [`not_shared_with`](Self::not_shared_with) leaves out a block that both lists have,
    /// also when one of them has it more often.
    pub fn from_blocks(blocks: impl IntoIterator<Item = Block<T>>) -> Self {
        let mut end = 0;
        let part = |block: Block<T>| {
            end += block.len();
            (!block.is_empty()).then_some(Part { block, end })
        };
        Self { parts: blocks.into_iter().filter_map(part).collect() }
    }

    /// The blocks that it is made of, none of them empty.
    pub fn blocks(&self) -> impl DoubleEndedIterator<Item = &Block<T>> + ExactSizeIterator {
        self.parts.iter().map(|part| &part.block)
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.parts.last().map_or(0, |part| part.end)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The entry at this place; the first is at 0.
    pub fn get(&self, index: usize) -> Option<&Arc<T>> {
        let part = self.parts.get(self.parts.partition_point(|part| part.end <= index))?;
        part.block.get(index + part.block.len() - part.end)
    }

    /// The first entry.
    pub fn first(&self) -> Option<&Arc<T>> {
        self.get(0)
    }

    /// The last entry.
    pub fn last(&self) -> Option<&Arc<T>> {
        self.parts.last().and_then(|part| part.block.last())
    }

    /// All entries, in order.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter::of(&self.parts, self.len())
    }

    /// Looks for an entry in a list that is in the order of `compare`, as [`slice::binary_search_by`] does.
    ///
    /// # Errors
    ///
    /// Where it would have to be, when it is not there.
    pub fn binary_search_by(&self, mut compare: impl FnMut(&Arc<T>) -> Ordering) -> Result<usize, usize> {
        let mut is_before = |part: &Part<T>| part.block.last().is_some_and(|last| compare(last).is_lt());
        let at = self.parts.partition_point(&mut is_before);
        let Some(part) = self.parts.get(at) else { return Err(self.len()) };
        let start = part.end - part.block.len();
        part.block.binary_search_by(compare).map(|at| start + at).map_err(|at| start + at)
    }

    /// Whether both have the very same entries, by their addresses. The blocks that both begin with are not looked into.
    pub fn is_same(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.parts, &other.parts) {
            return true;
        }
        let shared = self.blocks().zip(other.blocks()).take_while(|(a, b)| Arc::ptr_eq(a, b)).count();
        let ours = self.blocks().skip(shared).flat_map(|block| block.iter());
        let theirs = other.blocks().skip(shared).flat_map(|block| block.iter());
        self.len() == other.len() && ours.map(Arc::as_ptr).eq(theirs.map(Arc::as_ptr))
    }

    /// The entries in blocks that `other` does not share, in order. Whatever only one of two lists has is in what one of
    /// them does not share with the other; so are some entries that both have.
    pub fn not_shared_with(&self, other: &Self) -> impl Iterator<Item = &Arc<T>> {
        let address = |block: &Block<T>| Arc::as_ptr(block).cast::<Arc<T>>();
        let theirs: HashSet<_> = other.blocks().map(address).collect();
        self.blocks().filter(move |block| !theirs.contains(&address(block))).flat_map(|block| block.iter())
    }
}

impl<'a, T> IntoIterator for &'a List<T> {
    type Item = &'a Arc<T>;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> Index<usize> for List<T> {
    type Output = Arc<T>;

    /// The entry at this place.
    ///
    /// # Panics
    ///
    /// When there is none, as a slice does.
    fn index(&self, index: usize) -> &Arc<T> {
        self.get(index).unwrap_or_else(|| panic!("index {index} in a list of {}", self.len()))
    }
}

impl<T> From<&[Arc<T>]> for List<T> {
    fn from(entries: &[Arc<T>]) -> Self {
        Self::from_blocks(entries.chunks(PER_BLOCK).map(Block::from))
    }
}

impl<T> From<Vec<Arc<T>>> for List<T> {
    fn from(entries: Vec<Arc<T>>) -> Self {
        entries.into_iter().collect()
    }
}

impl<T, const N: usize> From<[Arc<T>; N]> for List<T> {
    fn from(entries: [Arc<T>; N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<T> FromIterator<Arc<T>> for List<T> {
    fn from_iter<I: IntoIterator<Item = Arc<T>>>(entries: I) -> Self {
        // Fused: a block that is not full has seen the end, and the next one asks again.
        let mut entries = entries.into_iter().fuse();
        let block = || -> Option<Block<T>> {
            let block: Block<T> = entries.by_ref().take(PER_BLOCK).collect();
            (!block.is_empty()).then_some(block)
        };
        Self::from_blocks(std::iter::from_fn(block))
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { parts: Arc::default() }
    }
}

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        Self { parts: self.parts.clone() }
    }
}

/// Equal entries in the same order; how they are spread over blocks does not matter.
impl<T: PartialEq> PartialEq for List<T> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().zip(other).all(|(a, b)| Arc::ptr_eq(a, b) || a == b)
    }
}

impl<T: Eq> Eq for List<T> {}

impl<T: fmt::Debug> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn entries(numbers: impl IntoIterator<Item = u32>) -> Vec<Arc<u32>> {
        numbers.into_iter().map(Arc::new).collect()
    }

    fn numbers<'a>(entries: impl IntoIterator<Item = &'a Arc<u32>>) -> Vec<u32> {
        entries.into_iter().map(|entry| **entry).collect()
    }

    fn folded<'a>(entries: impl Iterator<Item = &'a Arc<u32>>) -> Vec<u32> {
        entries.fold(Vec::new(), |mut numbers, entry| {
            numbers.push(**entry);
            numbers
        })
    }

    #[test]
    fn a_list_of_entries_is_cut_into_blocks_of_a_bounded_size() {
        for count in [0, 1, 127, 128, 129, 300] {
            let all = entries(0..count);
            for list in [List::from(&all[..]), List::from(all.clone()), all.iter().cloned().collect()] {
                assert_eq!(numbers(&list), numbers(&all));
                assert_eq!(list.blocks().len(), all.len().div_ceil(PER_BLOCK));
                assert!(list.blocks().all(|block| (1..=PER_BLOCK).contains(&block.len())));
            }
        }
    }

    #[test]
    fn only_blocks_that_are_not_shared_are_told_apart() {
        let all = entries(0..12);
        let [a, b, c, d] = [0, 3, 6, 9].map(|from| Block::from(&all[from..from + 3]));
        let before = List::from_blocks([a.clone(), b.clone(), c.clone()]);
        let after = List::from_blocks([a, c, d]);
        assert_eq!(numbers(before.not_shared_with(&after)), [3, 4, 5]);
        assert_eq!(numbers(after.not_shared_with(&before)), [9, 10, 11]);
        assert_eq!(numbers(after.not_shared_with(&after)), []);
        assert_eq!(numbers(after.not_shared_with(&List::default())), numbers(&after));
    }

    #[test]
    fn the_same_entries_are_the_same_list_however_they_are_spread() {
        let all = entries(0..6);
        let whole = List::from(&all[..]);
        let halves = List::from_blocks(all.chunks(3).map(Block::from));
        let equal = List::from(entries(0..6));
        assert!(whole.is_same(&whole.clone()) && whole.is_same(&halves) && !whole.is_same(&equal));
        assert!(!whole.is_same(&List::from(&all[..5])) && !List::from(&all[..5]).is_same(&whole));
        assert!(whole == halves && whole == equal && whole != List::from(&all[..5]));
        assert!(List::<u32>::default().is_same(&List::from(&all[..0])));
    }

    #[test]
    fn what_comes_after_the_end_of_an_iterator_is_not_taken() {
        let mut next = 0;
        // Goes on after its end, as an iterator may.
        let odd = std::iter::from_fn(|| {
            next += 1;
            (next != 3).then(|| Arc::new(next))
        });
        assert_eq!(numbers(&odd.collect::<List<u32>>()), [1, 2]);
    }

    #[test]
    #[should_panic(expected = "index 2 in a list of 2")]
    fn an_index_behind_the_end_panics_as_that_of_a_slice() {
        let list = List::from(entries([1, 2]));
        let _ = &list[2];
    }

    proptest! {
        #[test]
        fn lists_that_share_blocks_are_compared_as_slices_are(changes in vec(0..4_u32, 0..6)) {
            let blocks: Vec<_> = (0..).step_by(3).take(changes.len()).map(|at| Block::from(entries(at..at + 3))).collect();
            let change = |(block, change): (&Block<u32>, &u32)| match change {
                0 => block.clone(),
                1 => Block::from(&block[..]),
                2 => Block::from(&block[1..]),
                _ => Block::from(entries(block.iter().map(|entry| **entry))),
            };
            let before = List::from_blocks(blocks.clone());
            let after = List::from_blocks(blocks.iter().zip(&changes).map(change));
            let addresses = |list: &List<u32>| list.iter().map(Arc::as_ptr).collect::<Vec<_>>();
            let same = addresses(&before) == addresses(&after);
            prop_assert_eq!((before.is_same(&after), after.is_same(&before)), (same, same));
            prop_assert_eq!(before == after, numbers(&before) == numbers(&after));

            let not_shared = blocks.iter().zip(&changes).filter(|(_, change)| **change != 0);
            let expected: Vec<_> = not_shared.flat_map(|(block, _)| numbers(&**block)).collect();
            prop_assert_eq!(numbers(before.not_shared_with(&after)), expected.clone());
            let only_after = numbers(after.not_shared_with(&before));
            prop_assert!(after.iter().map(|it| **it).filter(|number| expected.contains(number)).eq(only_after));
        }

        #[test]
        fn a_list_is_like_the_slice_of_its_entries(
            blocks in vec(vec(0..100_u32, 0..5), 0..8),
            wanted in 0..100_u32,
            index in 0..40_usize,
            steps in vec((any::<bool>(), 0..4_usize), 0..40),
        ) {
            let mut all: Vec<_> = blocks.iter().flatten().copied().collect();
            all.sort_unstable();
            all.dedup();
            let all = entries(all);
            let mut rest = &all[..];
            let cut = |block: &Vec<u32>| {
                let (now, later) = rest.split_at(block.len().min(rest.len()));
                rest = later;
                Block::from(now)
            };
            let cuts: Vec<_> = blocks.iter().map(cut).collect();
            let list = List::from_blocks(cuts);

            prop_assert_eq!(list.len(), all.len());
            prop_assert_eq!(list.is_empty(), all.is_empty());
            prop_assert_eq!(list.get(index), all.get(index));
            prop_assert_eq!(list.first(), all.first());
            prop_assert_eq!(list.last(), all.last());
            let by = |entry: &Arc<u32>| (**entry).cmp(&wanted);
            prop_assert_eq!(list.binary_search_by(by), all.binary_search_by(by));
            let (mut ours, mut theirs) = (list.iter(), all.iter());
            for (back, skip) in steps {
                prop_assert_eq!(ours.size_hint(), theirs.size_hint());
                prop_assert_eq!(ours.clone().count(), theirs.len());
                prop_assert_eq!(ours.clone().last(), theirs.clone().last());
                prop_assert_eq!(format!("{ours:?}"), format!("{:?}", theirs.as_slice()));
                prop_assert_eq!(folded(ours.clone()), folded(theirs.clone()));
                prop_assert_eq!(folded(ours.clone().rev()), folded(theirs.clone().rev()));
                let both = match (back, skip) {
                    (false, 0) => (ours.next(), theirs.next()),
                    (true, 0) => (ours.next_back(), theirs.next_back()),
                    (false, n) => (ours.nth(n), theirs.nth(n)),
                    (true, n) => (ours.nth_back(n), theirs.nth_back(n)),
                };
                prop_assert_eq!(both.0, both.1);
            }
            prop_assert_eq!(format!("{list:?}"), format!("{all:?}"));
        }
    }
}
