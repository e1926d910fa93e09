//! Whether we may have been replaced by ourselves.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// How long it may take at most until a gateway has done what was sent to it: 10 s until it has read who asks, 10 s for the rest, 2 s for
/// ZooKeeper, and some for the way.
const ON_ITS_WAY: Duration = Duration::from_secs(30);

/// Whether registerings of ours that were not answered may be done yet, in the place of a later one of ours. A conflict is then no proof
/// that somebody newer is there.
///
/// This must end: who registers again because of it ends the registration of whoever is newer and not told from us, for good. So each gateway explains one
/// conflict, however often it was asked in vain, and none once nothing of that can be done any more. What reached a gateway that hung is done
/// at once when it goes on, the last try over those before it: that is one conflict.
#[derive(Debug)]
pub(super) struct Doubt {
    ttl: Duration,
    /// Of each gateway that did not answer, from when on nothing of what it was asked is done: it was done, and not renewed since, or is never
    /// done.
    until: BTreeMap<usize, Instant>,
}

impl Doubt {
    /// There is none yet about instances that are registered for so long.
    pub(super) fn none(ttl: Duration) -> Self {
        Self { ttl, until: BTreeMap::new() }
    }

    /// A registering with this gateway got no answer until now. One that has done it and waits for ZooKeeper does so for its time to live.
    pub(super) fn raise(&mut self, gateway: usize, now: Instant) {
        self.forget(now);
        // Later than what is there, for time goes on.
        self.until.insert(gateway, now + ON_ITS_WAY + self.ttl);
    }

    /// We are registered, as was answered to what was asked then.
    pub(super) fn settle(&mut self, asked: Instant) {
        self.until.retain(|_, until| asked < *until);
    }

    /// Somebody has our place, as was answered to what was asked then. May that be us? This is said once for each gateway, of the one first
    /// that was asked first: what was asked later may be done later.
    pub(super) fn explains_conflict(&mut self, asked: Instant) -> bool {
        self.forget(asked);
        let first = self.until.iter().min_by_key(|(_, until)| **until).map(|(gateway, _)| *gateway);
        first.is_some_and(|gateway| self.until.remove(&gateway).is_some())
    }

    /// A gateway may tell of one until the lease is over that we had there.
    fn forget(&mut self, now: Instant) {
        let ttl = self.ttl;
        self.until.retain(|_, until| now < *until + ttl);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(20);

    #[test]
    fn a_conflict_may_be_with_ourselves_once_for_each_gateway_that_lost_something_and_for_a_while() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        // When which gateway lost a registering, when we were registered all the same, when conflicts began; and how many of them may be
        // with us.
        for (lost, registered, conflict, expected) in [
            (&[][..], &[][..], 1, 0),
            (&[(0, 0)], &[], 1, 1),
            (&[(0, 0)], &[1, 10, 49], 50, 1),
            (&[(0, 0)], &[1, 10, 49], 69, 1),
            (&[(0, 0)], &[1, 10, 50], 51, 0),
            (&[(0, 0)], &[], 70, 0),
            (&[(0, 0), (30, 1)], &[60], 61, 1),
            (&[(0, 0), (30, 1)], &[80], 81, 0),
            (&[(0, 0), (30, 1)], &[], 31, 2),
            (&[(0, 0), (30, 1)], &[49], 69, 2),
            (&[(0, 0), (30, 1)], &[], 70, 1),
            (&[(0, 0), (0, 1), (0, 2)], &[1], 1, 3),
            (&[(0, 0), (80, 1)], &[], 81, 1),
            // However often one was asked, and for as long as what it was asked last may take.
            (&[(0, 0), (0, 0), (0, 0)], &[1], 1, 1),
            (&[(0, 0), (30, 0)], &[60], 61, 1),
            (&[(0, 0), (30, 0)], &[80], 81, 0),
            (&[(0, 0), (1, 1), (2, 0), (3, 1)], &[], 4, 2),
        ] {
            let mut doubt = Doubt::none(TTL);
            for (lost, gateway) in lost {
                doubt.raise(*gateway, at(*lost));
            }
            for registered in registered {
                doubt.settle(at(*registered));
            }
            let told = format!("{lost:?} {registered:?} {conflict}");
            let explained = (0..5).filter(|_| doubt.explains_conflict(at(conflict))).count();
            assert_eq!(explained, expected, "{told}");
        }
    }

    #[test]
    fn an_outage_leaves_no_more_doubts_than_there_are_gateways_and_the_oldest_goes_first() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut doubt = Doubt::none(TTL);
        for try_ in 0..100_000 {
            doubt.raise(try_ as usize % 3, at(try_));
        }
        assert_eq!(doubt.until.len(), 3);
        assert!(doubt.explains_conflict(at(100_000)));
        let left: Vec<_> = doubt.until.keys().copied().collect();
        // The last try, number 99,999, was with the first gateway, and the one two before it with the second.
        assert_eq!(left, [0, 2]);
    }
}
