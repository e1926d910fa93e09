//! Whether we may have been replaced by ourselves.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How long it may take at most until a gateway has done what was sent to it: 10 s until it has read who asks, 10 s for the rest, 2 s for
/// ZooKeeper, and some for the way.
const ON_ITS_WAY: Duration = Duration::from_secs(30);

/// Whether registerings of ours that were not answered may be done yet, in the place of a later one of ours. A conflict is then no proof
/// that somebody newer is there.
///
/// This must end: who registers again because of it ends the registration of whoever is newer, for good. So each of them explains one
/// conflict, and none once it can no longer be done.
#[derive(Debug)]
pub(super) struct Doubt {
    ttl: Duration,
    /// Of each, from when on nothing of it is done: it was done, and not renewed since, or is never done. In the order of time.
    until: VecDeque<Instant>,
}

impl Doubt {
    /// There is none yet about instances that are registered for so long.
    pub(super) fn none(ttl: Duration) -> Self {
        Self { ttl, until: VecDeque::new() }
    }

    /// One more registering got no answer until now. A gateway that has done it and waits for ZooKeeper does so for its time to live.
    pub(super) fn raise(&mut self, now: Instant) {
        self.forget(now);
        self.until.push_back(now + ON_ITS_WAY + self.ttl);
    }

    /// We are registered, as was answered to what was asked then.
    pub(super) fn settle(&mut self, asked: Instant) {
        self.until.retain(|until| asked < *until);
    }

    /// Somebody has our place, as was answered to what was asked then. May that be us? This is said once for each registering, of the
    /// oldest first: a later one may be done later.
    pub(super) fn explains_conflict(&mut self, asked: Instant) -> bool {
        self.forget(asked);
        self.until.pop_front().is_some()
    }

    /// A gateway may tell of one until the lease is over that we had there.
    fn forget(&mut self, now: Instant) {
        self.until.retain(|until| now < *until + self.ttl);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_may_be_with_ourselves_once_for_each_that_was_lost_and_for_a_while() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        // When registerings were lost, when we were registered all the same, when conflicts began; and how many of them may be with us.
        for (lost, registered, conflict, expected) in [
            (&[][..], &[][..], 1, 0),
            (&[0], &[], 1, 1),
            (&[0], &[1, 10, 49], 50, 1),
            (&[0], &[1, 10, 49], 69, 1),
            (&[0], &[1, 10, 50], 51, 0),
            (&[0], &[], 70, 0),
            (&[0, 30], &[60], 61, 1),
            (&[0, 30], &[80], 81, 0),
            (&[0, 30], &[], 31, 2),
            (&[0, 30], &[49], 69, 2),
            (&[0, 30], &[], 70, 1),
            (&[0, 0, 0], &[1], 1, 3),
            (&[0, 80], &[], 81, 1),
        ] {
            let mut doubt = Doubt::none(Duration::from_secs(20));
            for lost in lost {
                doubt.raise(at(*lost));
            }
            for registered in registered {
                doubt.settle(at(*registered));
            }
            let told = format!("{lost:?} {registered:?} {conflict}");
            let explained = (0..5).filter(|_| doubt.explains_conflict(at(conflict))).count();
            assert_eq!(explained, expected, "{told}");
        }
    }
}
