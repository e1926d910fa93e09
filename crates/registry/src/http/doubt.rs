//! Whether we may have been replaced by ourselves.

use std::time::Duration;

use tokio::time::Instant;

/// How long it may take at most until a gateway has done what was sent to it: 10 s until it has read who asks, 10 s for the rest, 2 s for
/// ZooKeeper, and some for the way.
const ON_ITS_WAY: Duration = Duration::from_secs(30);

/// Whether a registering of ours that was not answered may be done yet, in the place of a later one of ours. A conflict is then no proof
/// that somebody newer is there.
///
/// This must end: who registers again because of it ends the registration of whoever is newer, for good.
#[derive(Debug)]
pub(super) struct Doubt {
    ttl: Duration,
    /// Nothing of it is done from then on: it was done, and not renewed since, or is never done.
    until: Option<Instant>,
}

impl Doubt {
    /// There is none yet about instances that are registered for so long.
    pub(super) fn none(ttl: Duration) -> Self {
        Self { ttl, until: None }
    }

    /// A registering got no answer until now. A gateway that has done it and waits for ZooKeeper does so for its time to live.
    pub(super) fn raise(&mut self, now: Instant) {
        self.until = Some(now + ON_ITS_WAY + self.ttl);
    }

    /// We are registered, as was answered to what was asked then.
    pub(super) fn settle(&mut self, asked: Instant) {
        self.until = self.until.filter(|until| asked < *until);
    }

    /// Somebody has our place, as was answered to what was asked then. May that be us? This is said once.
    ///
    /// A gateway may tell of it until the lease is over that we had there.
    pub(super) fn explains_conflict(&mut self, asked: Instant) -> bool {
        self.until.take().is_some_and(|until| asked < until + self.ttl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_may_be_with_ourselves_once_and_for_a_while() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        // When registerings were lost, when we were registered all the same, when there was a conflict; and whether that may be with us.
        for (lost, registered, conflict, expected) in [
            (&[][..], &[][..], 1, false),
            (&[0], &[], 1, true),
            (&[0], &[1, 10, 49], 50, true),
            (&[0], &[1, 10, 49], 69, true),
            (&[0], &[1, 10, 50], 51, false),
            (&[0], &[], 70, false),
            (&[0, 30], &[60], 61, true),
            (&[0, 30], &[80], 81, false),
        ] {
            let mut doubt = Doubt::none(Duration::from_secs(20));
            for lost in lost {
                doubt.raise(at(*lost));
            }
            for registered in registered {
                doubt.settle(at(*registered));
            }
            let told = format!("{lost:?} {registered:?} {conflict}");
            assert_eq!(doubt.explains_conflict(at(conflict)), expected, "{told}");
            assert!(!doubt.explains_conflict(at(conflict)), "{told}");
        }
    }
}
