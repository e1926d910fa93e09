//! The entries of a list, one after the other.

use std::fmt;
use std::iter::{FlatMap, FusedIterator};
use std::slice;
use std::sync::Arc;

use crate::list::Part;

/// The entries of a [`List`](crate::List).
pub struct Iter<'a, T> {
    entries: Entries<'a, T>,
    left: usize,
}

type Entries<'a, T> =
    FlatMap<slice::Iter<'a, Part<T>>, slice::Iter<'a, Arc<T>>, fn(&'a Part<T>) -> slice::Iter<'a, Arc<T>>>;

impl<'a, T> Iter<'a, T> {
    /// All that these parts have, which are `count` entries.
    pub(crate) fn of(parts: &'a [Part<T>], count: usize) -> Self {
        Self { entries: parts.iter().flat_map(|part| part.block.iter()), left: count }
    }
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a Arc<T>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.entries.next();
        self.left -= usize::from(next.is_some());
        next
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }

    // Block by block, which is faster than one after the other.
    fn fold<B, F: FnMut(B, Self::Item) -> B>(self, init: B, f: F) -> B {
        self.entries.fold(init, f)
    }

    fn nth(&mut self, n: usize) -> Option<Self::Item> {
        self.left = self.left.saturating_sub(n.saturating_add(1));
        self.entries.nth(n)
    }

    fn count(self) -> usize {
        self.left
    }

    fn last(mut self) -> Option<Self::Item> {
        self.next_back()
    }
}

impl<T> DoubleEndedIterator for Iter<'_, T> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let next = self.entries.next_back();
        self.left -= usize::from(next.is_some());
        next
    }

    fn rfold<B, F: FnMut(B, Self::Item) -> B>(self, init: B, f: F) -> B {
        self.entries.rfold(init, f)
    }

    fn nth_back(&mut self, n: usize) -> Option<Self::Item> {
        self.left = self.left.saturating_sub(n.saturating_add(1));
        self.entries.nth_back(n)
    }
}

impl<T> ExactSizeIterator for Iter<'_, T> {}

impl<T> FusedIterator for Iter<'_, T> {}

impl<T> Clone for Iter<'_, T> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone(), left: self.left }
    }
}

/// What is left of them.
impl<T: fmt::Debug> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}
