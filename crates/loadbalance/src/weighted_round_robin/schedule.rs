//! A whole cycle, written out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Who has which of the picks of a cycle, for weights above 0 that add up to 65,536 at most: times of more would not fit.
///
/// The n-th of an instance's w picks in a cycle of W, counted from 0, has a window from nW/w to (n+1)W/w. Of those whose windows
/// have begun, the one whose window ends first comes next; then every pick is within its window, and nobody is ever behind or
/// ahead by a whole pick (Baruah and others, "Proportionate Progress: A Notion of Fairness in Resource Allocation", 1996).
///
/// One with more than half of all picks has the first ones in a row, as long as it is not ahead by one. The cycle begins after the
/// first of these, which costs others nothing and it at most half a pick.
pub(super) fn schedule(weights: &[u64]) -> Box<[u32]> {
    let picks: u64 = weights.iter().sum();
    let mut windows = Windows::new(weights, picks);
    let mut slots: Box<[u32]> = (0..picks).map(|slot| windows.next(slot)).collect();
    if weights.iter().any(|weight| weight * 2 > picks) {
        slots.rotate_left(1);
    }
    slots
}

struct Windows<'a> {
    weights: &'a [u64],
    picks: u64,
    /// How many picks each has had.
    had: Vec<u64>,
    /// Whose windows begin at a slot: the first of a chain for each slot, and who comes after each.
    beginning: Vec<u32>,
    after: Vec<u32>,
    /// When the windows that have begun end, in parts of a slot, and whose they are. Of equals the heavier ones come first, which
    /// keeps their picks apart.
    open: BinaryHeap<Reverse<(u64, Reverse<u64>, u32)>>,
}

const NOBODY: u32 = u32::MAX;

/// Times are exact to this part of a slot: finer than the times of any two windows that do not end together lie apart.
const PARTS: u64 = 1 << 31;

impl<'a> Windows<'a> {
    fn new(weights: &'a [u64], picks: u64) -> Self {
        let mut windows = Self {
            weights,
            picks,
            had: vec![0; weights.len()],
            beginning: vec![NOBODY; picks as usize],
            after: vec![NOBODY; weights.len()],
            open: BinaryHeap::with_capacity(weights.len()),
        };
        for index in (0..weights.len() as u32).rev() {
            windows.wait(index, 0);
        }
        windows
    }

    /// Lets one wait for its next window, which it may use from `slot` on.
    fn wait(&mut self, index: u32, slot: u64) {
        let (had, weight) = (self.had[index as usize], self.weights[index as usize]);
        if had < weight {
            let begin = slot.max(had * self.picks / weight);
            let first = &mut self.beginning[begin as usize];
            self.after[index as usize] = std::mem::replace(first, index);
        }
    }

    /// Who has this slot. To be asked for each slot in order.
    fn next(&mut self, slot: u64) -> u32 {
        let mut index = self.beginning[slot as usize];
        while index != NOBODY {
            let weight = self.weights[index as usize];
            let end = (self.had[index as usize] + 1) * self.picks * PARTS / weight;
            self.open.push(Reverse((end, Reverse(weight), index)));
            index = self.after[index as usize];
        }
        // Before the end of a slot more windows have begun than there were slots.
        let Reverse((_, _, index)) = self.open.pop().expect("a window is open in each slot");
        self.had[index as usize] += 1;
        self.wait(index, slot + 1);
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picks_of_a_heavy_one_are_apart() {
        let written = |weights: &[u64]| -> String {
            schedule(weights).iter().map(|index| char::from(b'a' + *index as u8)).collect()
        };
        assert_eq!(written(&[5, 1, 1]), "aabaaca");
        assert_eq!(written(&[1, 1, 5]), "ccaccbc");
        assert_eq!(written(&[2, 1]), "aba");
        assert_eq!(written(&[1]), "a");
        assert_eq!(written(&[]), "");
    }
}
