//! What the clock on the wall shows, for people and for what they compare with their own.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use tokio::time::Instant;

/// So many milliseconds the clock on the wall may go off the other one before it counts as set. Below that, a moment is always told by the
/// same time: an answer that has one would else be another answer each time, by a millisecond.
const SET: i64 = 1_000;

/// What it showed at a moment of the other clock, or will show, in Unix milliseconds.
pub(crate) fn at(moment: Instant) -> u64 {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    static BETWEEN: Between = Between(AtomicI64::new(i64::MIN));
    BETWEEN.told(*BEGIN.get_or_init(Instant::now), moment)
}

fn millis_since(begin: Instant, moment: Instant) -> i64 {
    let millis = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    match moment.checked_duration_since(begin) {
        Some(after) => millis(after),
        None => -millis(begin.duration_since(moment)),
    }
}

/// How far the two clocks are apart, as last believed; the least number before anything is.
struct Between(AtomicI64);

impl Between {
    /// What the clock on the wall showed at a moment; the other one is counted from its begin.
    fn told(&self, begin: Instant, moment: Instant) -> u64 {
        let ours = millis_since(begin, Instant::now());
        let between = self.steady(Timestamp::now().as_millisecond().saturating_sub(ours));
        u64::try_from(between.saturating_add(millis_since(begin, moment))).unwrap_or(0)
    }

    /// What was believed, unless what is measured now says that a clock was set.
    fn steady(&self, measured: i64) -> i64 {
        let believed = self.0.load(Ordering::Relaxed);
        if measured.saturating_sub(believed).saturating_abs() < SET {
            return believed;
        }
        self.0.store(measured, Ordering::Relaxed);
        measured
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_moment_is_told_by_one_time_until_the_clock_is_set() {
        let between = Between(AtomicI64::new(i64::MIN));
        let told = [5_000, 5_001, 4_999, 5_999, 6_000, 6_001, 0, -1].map(|measured| between.steady(measured));
        assert_eq!(told, [5_000, 5_000, 5_000, 5_000, 6_000, 6_000, 0, 0]);
    }

    #[tokio::test]
    async fn a_moment_lies_as_far_from_now_as_on_the_other_clock() {
        let hour = Duration::from_secs(3_600);
        let (now, here) = (Timestamp::now().as_millisecond(), Instant::now());
        // Tests beside this one have clocks of their own, and would be told of by the same.
        let between = Between(AtomicI64::new(i64::MIN));
        let at = |moment| between.told(here, moment);
        assert!(at(here).abs_diff(u64::try_from(now).unwrap()) <= SET.unsigned_abs());
        assert!((at(here + hour) - at(here)).abs_diff(3_600_000) <= 1);
        if let Some(before) = here.checked_sub(hour) {
            assert!((at(here) - at(before)).abs_diff(3_600_000) <= 1);
        }
    }
}
