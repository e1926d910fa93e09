//! How fast servers are dialed.

use std::time::Duration;

use tokio::time::Instant;

/// So many servers are dialed without a pause: where one is gone, the next is there.
const AT_ONCE: u32 = 3;

/// What each dial costs. With those above, and one that the client makes by itself, no second sees more than ten.
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
    /// Counts a server that is dialed now; or tells when to ask again, for it is too early.
    ///
    /// What comes late counts when it comes. If it counted when it was due, those that follow it would not wait for it.
    pub(super) fn dial(&mut self, now: Instant) -> Result<(), Instant> {
        let paid = self.paid.map_or(now, |paid| paid.max(now));
        match paid.checked_sub(EACH * (AT_ONCE - 1)) {
            Some(due) if due > now => Err(due),
            _ => {
                self.dialed(now);
                Ok(())
            }
        }
    }

    /// Counts a server that was dialed without asking.
    pub(super) fn dialed(&mut self, now: Instant) {
        self.paid = Some(self.paid.map_or(now, |paid| paid.max(now)) + EACH);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

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
                now = in_turn(&mut pace, now, Duration::ZERO);
                now.duration_since(start).as_millis()
            })
            .collect();
        assert_eq!(dialed, [0, 0, 0, 150, 300, 450]);
        assert_eq!(pace.dial(start + Duration::from_secs(9)), Ok(()));
    }

    proptest! {
        /// Of those who are lost the client dials each once more by itself, and that is seen later.
        #[test]
        fn no_second_sees_more_than_ten_however_late_they_are_and_whoever_is_lost(
            dials in vec((prop_oneof![4 => Just(0), 1 => 0..2_000_u64], any::<bool>()), 11..60)
        ) {
            let mut pace = Pace::default();
            let (mut now, mut dialed) = (Instant::now(), Vec::new());
            for (late, lost) in dials {
                let late = Duration::from_millis(late);
                now = in_turn(&mut pace, now, late);
                dialed.push(now);
                if lost {
                    dialed.push(now);
                    now += late / 2;
                    pace.dialed(now);
                }
            }
            for (first, eleventh) in dialed.iter().zip(&dialed[10..]) {
                let took = *eleventh - *first;
                prop_assert!(took > Duration::from_secs(1), "eleven in {took:?}: {dialed:?}");
            }
        }
    }

    /// When a server is dialed by who asks now, and is called so much later than it wanted each time.
    fn in_turn(pace: &mut Pace, mut now: Instant, late: Duration) -> Instant {
        while let Err(due) = pace.dial(now) {
            now = due + late;
        }
        now
    }
}
