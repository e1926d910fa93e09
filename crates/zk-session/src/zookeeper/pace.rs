//! How fast servers are dialed.

use std::time::Duration;

use tokio::time::Instant;

/// So many servers are dialed without a pause: where one is gone, the next is there.
const AT_ONCE: u32 = 3;

/// What each dial costs. With those above, no second sees more than ten.
const EACH: Duration = Duration::from_millis(150);

/// How far apart those may be who go on from one server to the next.
const APART: Duration = Duration::from_millis(450);

/// How long to wait before going on to another server of the same round, after `tried` of them; `random` is from 0 to 1.
///
/// In a hurry for a session that may still be saved, not at all. Otherwise so that many clients that one server turned away at the
/// same moment do not follow each other to the next.
pub(super) fn apart(hurry: bool, tried: usize, random: f64) -> Duration {
    if hurry || tried == 0 { Duration::ZERO } else { APART.mul_f64(random) }
}

/// Spaces dials out, however many servers there are and whoever asks for how many rounds over them.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When all that was dialed is paid for.
    paid: Option<Instant>,
}

impl Pace {
    /// When the next server may be dialed. It counts as dialed then.
    pub(super) fn next(&mut self, now: Instant) -> Instant {
        let paid = self.paid.map_or(now, |paid| paid.max(now));
        self.paid = Some(paid + EACH);
        now.max(paid.checked_sub(EACH * (AT_ONCE - 1)).unwrap_or(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_turned_away_goes_on_at_a_moment_of_its_own_unless_a_session_is_in_danger() {
        let ms = Duration::from_millis;
        for (hurry, tried, random, expected) in [
            (false, 0, 0.9, ms(0)),
            (false, 1, 0.0, ms(0)),
            (false, 1, 0.5, ms(225)),
            (false, 2, 1.0, ms(450)),
            (true, 0, 0.9, ms(0)),
            (true, 2, 0.9, ms(0)),
        ] {
            assert_eq!(apart(hurry, tried, random), expected, "{hurry} {tried} {random}");
        }
    }

    #[test]
    fn a_few_are_dialed_at_once_and_the_others_one_by_one() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let mut now = start;
        let dialed: Vec<_> = (0..6)
            .map(|_| {
                now = pace.next(now);
                now.duration_since(start).as_millis()
            })
            .collect();
        assert_eq!(dialed, [0, 0, 0, 150, 300, 450]);
        assert_eq!(pace.next(start + Duration::from_secs(9)), start + Duration::from_secs(9));
    }
}
