//! The same instance for the same key.

mod ring;

use std::net::IpAddr;
use std::sync::Arc;

use twox_hash::XxHash3_64;

use self::ring::{Ring, mix};
use crate::{Algorithm, Candidates, Key, KeyKind, Picker, Request};

/// The same instance for the same key, in every process, on every platform, after every restart; when an instance comes or goes
/// only its own keys move.
///
/// Consistent hashing (Karger and others, 1997) with the points of ketama's kind: the key's place is XXH3-64 of its bytes, an
/// instance's places follow from XXH3-64 of its id. An instance's share of the keys is in proportion to its weight, within some
/// percent (docs/bench/pick.md has what was measured).
///
/// What an instance's weight is worth depends on a scale: the power of two at or above the mean weight of all, and above 6,500
/// instances their number. When that changes, about half of the keys move. Equal weights never change it.
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
        Arc::new(Places { ring: Ring::new(&candidates), by: self.by, among: candidates.len() })
    }

    fn key(&self) -> Option<KeyKind> {
        Some(self.by)
    }
}

struct Places {
    ring: Ring,
    by: KeyKind,
    among: usize,
}

impl Picker for Places {
    #[inline]
    fn pick(&self, request: &Request<'_>) -> Option<usize> {
        let key = request.key().filter(|key| key.kind() == self.by)?;
        let place = match key {
            Key::Client(IpAddr::V4(address)) => XxHash3_64::oneshot(&address.octets()),
            Key::Client(IpAddr::V6(address)) => XxHash3_64::oneshot(&address.octets()),
            Key::Url(path) => XxHash3_64::oneshot(path.as_bytes()),
            Key::Bytes(key) => XxHash3_64::oneshot(key),
        };
        self.ring.owner(match request.attempt() {
            0 => place,
            attempt => mix(place.wrapping_add(u64::from(attempt))),
        })
    }

    fn shares(&self) -> Option<Vec<f64>> {
        Some(self.ring.shares(self.among))
    }

    fn because(&self, chosen: bool) -> &'static str {
        if chosen { "the key belongs to it" } else { "the key belongs to another one" }
    }
}
