//! The same instance for the same key.

mod lines;
mod ring;

use std::sync::Arc;

use self::lines::{Entry, Lines};
use self::ring::{OWNER_BITS, Owners, mix};
use crate::{Algorithm, Candidates, KeyKind, Picker, Request};

/// The same instance for the same key, in every process, on every platform, after every restart; when an instance comes or goes
/// only its own keys move.
///
/// Consistent hashing (Karger and others, 1997) with the points of ketama's kind: the key's place is XXH3-64 of its bytes, an
/// instance's places follow from XXH3-64 of its id. An instance's share of the keys is in proportion to its weight, within some
/// percent (docs/bench/pick.md has what was measured).
///
/// What a weight is worth depends on a scale: the power of two at or above the mean weight of all, and the number of instances where
/// that is above 4,000. When the scale changes, about half of the keys move; while all weights are equal, instances that come and
/// go do not change it.
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
        if owners.len() <= <u32 as Entry>::OWNERS {
            Arc::new(Places { lines: Lines::<u32, 16>::new(&owners), owners, by: self.by })
        } else {
            Arc::new(Places { lines: Lines::<u64, 8>::new(&owners), owners, by: self.by })
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
    by: KeyKind,
}

impl<E: Entry, const PER_LINE: usize> Picker for Places<E, PER_LINE> {
    #[inline]
    fn pick(&self, request: &Request<'_>) -> Option<usize> {
        let hash = request.hash_of(self.by)?;
        let hash = match request.attempt() {
            0 => hash,
            attempt => mix(hash.wrapping_add(u64::from(attempt))),
        };
        self.lines.owner(hash >> OWNER_BITS, &self.owners)
    }

    fn shares(&self) -> Option<Vec<f64>> {
        Some(self.owners.shares())
    }

    fn because(&self, chosen: bool) -> &'static str {
        if chosen { "the key belongs to it" } else { "the key belongs to another one" }
    }
}
