//! A whole cycle, written out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Who has which of the picks of a cycle, for weights above 0 that add up to less than 2^24.
///
/// The n-th of an instance's w picks in a cycle of W, counted from 0, has a window: it may not come before nW/w, and is late
/// after (n+1)W/w. Who is past the middle of its window is due, and of those the one that would be late first comes next; when
/// nobody is due, the one that will be soonest. Nobody gets ahead by a whole pick, since no pick comes before its window (as in
/// Baruah and others, "Proportionate Progress", 1996); waiting for the middle keeps the picks of a heavy one apart.
pub(super) fn schedule(weights: &[u64]) -> Box<[u32]> {
    let picks: u64 = weights.iter().sum();
    let mut pending = Pending::new(weights, picks);
    (0..picks).map(|slot| pending.next(slot)).collect()
}

struct Pending<'a> {
    weights: &'a [u64],
    picks: u64,
    /// How many picks each has had.
    had: Vec<u64>,
    /// Whose windows begin at a slot: the first of a chain for each slot, and who comes after each.
    begin: Vec<u32>,
    after: Vec<u32>,
    /// Those whose windows have begun, by its middle, in 256ths of a slot; of equals the lighter ones first.
    begun: BinaryHeap<Reverse<(u64, u64, u32)>>,
    /// Those past the middle, by the end.
    due: BinaryHeap<Reverse<(u64, u32)>>,
}

const NOBODY: u32 = u32::MAX;

/// Times are exact to this part of a slot.
const PARTS: u64 = 256;

impl<'a> Pending<'a> {
    fn new(weights: &'a [u64], picks: u64) -> Self {
        let mut pending = Self {
            weights,
            picks,
            had: vec![0; weights.len()],
            begin: vec![NOBODY; picks as usize],
            after: vec![NOBODY; weights.len()],
            begun: BinaryHeap::new(),
            due: BinaryHeap::new(),
        };
        for index in (0..weights.len() as u32).rev() {
            pending.wait(index, 0);
        }
        pending
    }

    /// Lets one wait for its next window, which it may use from `slot` on.
    fn wait(&mut self, index: u32, slot: u64) {
        let (had, weight) = (self.had[index as usize], self.weights[index as usize]);
        if had < weight {
            let begin = slot.max(had * self.picks / weight);
            let first = &mut self.begin[begin as usize];
            self.after[index as usize] = std::mem::replace(first, index);
        }
    }

    /// Who has this slot. To be asked for each slot in order.
    fn next(&mut self, slot: u64) -> u32 {
        let mut index = self.begin[slot as usize];
        while index != NOBODY {
            let (had, weight) = (self.had[index as usize], self.weights[index as usize]);
            let middle = (2 * had + 1) * self.picks * PARTS / (2 * weight);
            self.begun.push(Reverse((middle, weight, index)));
            index = self.after[index as usize];
        }
        while let Some(Reverse((middle, weight, index))) = self.begun.peek().copied()
            && middle <= (slot + 1) * PARTS
        {
            self.begun.pop();
            let end = (self.had[index as usize] + 1) * self.picks * PARTS / weight;
            self.due.push(Reverse((end, index)));
        }
        let due = self.due.pop().map(|Reverse((_, index))| index);
        let soonest = || self.begun.pop().map(|Reverse((_, _, index))| index);
        // By the end of a slot more windows have begun than there were slots: somebody is always there.
        let index = due.or_else(soonest).expect("a window is open in each slot");
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
