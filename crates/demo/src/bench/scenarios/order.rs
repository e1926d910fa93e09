//! Who comes first.

use crate::bench::processes::Who;

/// Who is measured first in a round. That is each as often as the other: it meets a machine that the other has left.
#[derive(Clone, Copy)]
pub(super) struct Order {
    pub(super) round: u32,
}

impl Order {
    pub(super) fn both(self) -> [Who; 2] {
        match self.round.is_multiple_of(2) {
            true => [Who::BareClient, Who::Registry],
            false => [Who::Registry, Who::BareClient],
        }
    }
}
