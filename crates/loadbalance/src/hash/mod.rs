//! The same instance for the same key.

mod lines;
mod ring;

use std::sync::Arc;

use self::lines::{Entry, Lines};
use self::ring::{OWNER_BITS, Owners};
use crate::{Algorithm, Candidates, KeyKind, Picker, Request};

/// The same instance for the same key, in every process, on every platform, after every restart; when an instance comes or goes
/// only its own keys move.
///
/// Consistent hashing (Karger and others, 1997) with the points of ketama's kind: the key's place is XXH3-64 of its bytes, an
/// instance's places follow from XXH3-64 of its id. Its share of the keys is in proportion to its weight, within some percent where
/// there are up to 10,000 instances. Above that there are few points for each, and who has much less than the mean weight has one
/// point all the same: of 100,000 instances with weights of 1 to 100, those of weight 1 have twice their share.
///
/// What a weight is worth depends on a scale: the mean weight, rounded down, and that rounded up to a power of two; and how often
/// 1,024 points for it have to be halved until there are at most 2^22 of all instances, which begins with 4,000 to 8,000. When the
/// scale changes, about half of the keys move, and one weight that changes can do that. While all weights are equal, instances that
/// come and go only do by their number.
///
/// Whatever the weights, a list takes 64 MiB and 20 bytes for each instance at most, and about as much again while it is prepared for.
#[derive(Clone, Copy, Debug)]
pub struct Hash {
    name: &'static str,
    by: KeyKind,
}

impl Hash {
    /// By the address of the client, called `ip-hash`: see [`Request::client`].
    pub fn by_client() -> Self {
        Self { name: "ip-hash", by: KeyKind::Client }
    }

    /// By a path with its query, called `url-hash`: see [`Request::url`].
    pub fn by_url() -> Self {
        Self { name: "url-hash", by: KeyKind::Url }
    }

    /// By any key, such as a user's name or a session's number: see [`Request::keyed`].
    pub fn by_key() -> Self {
        Self { name: "hash", by: KeyKind::Bytes }
    }
}

impl Algorithm for Hash {
    fn name(&self) -> &str {
        self.name
    }

    fn picker(&self, candidates: Candidates) -> Arc<dyn Picker> {
        let owners = Owners::new(&candidates);
        if Lines::<u32, 16>::fit(&owners) {
            Arc::new(Places { lines: Lines::<u32, 16>::new(&owners), owners, candidates, by: self.by })
        } else {
            Arc::new(Places { lines: Lines::<u64, 8>::new(&owners), owners, candidates, by: self.by })
        }
    }

    fn key(&self) -> Option<KeyKind> {
        Some(self.by)
    }
}

/// Where each instance's keys are, with entries as small as can be.
struct Places<E, const PER_LINE: usize> {
    lines: Lines<E, PER_LINE>,
    owners: Owners,
    candidates: Candidates,
    by: KeyKind,
}

impl<E: Entry, const PER_LINE: usize> Places<E, PER_LINE> {
    /// Who would have the place if those who were tried were not there: if they leave, the key stays where this request goes.
    #[cold]
    fn next_owner(&self, place: u64, request: &Request<'_>) -> Option<usize> {
        let mut owners = self.lines.owners_from(place).map(|owner| owner as usize);
        owners.find(|at| !request.was_tried(self.candidates[*at].id()))
    }
}

impl<E: Entry, const PER_LINE: usize> Picker for Places<E, PER_LINE> {
    #[inline]
    fn pick(&self, request: &Request<'_>) -> Option<usize> {
        let place = request.hash_of(self.by)? >> OWNER_BITS;
        match request.attempt() {
            0 => self.lines.owner(place).map(|owner| owner as usize),
            _ => self.next_owner(place, request),
        }
    }

    fn shares(&self) -> Option<Vec<f64>> {
        Some(self.owners.shares())
    }

    fn because(&self, chosen: bool) -> &'static str {
        if chosen { "the key belongs to it" } else { "the key belongs to another one" }
    }
}
