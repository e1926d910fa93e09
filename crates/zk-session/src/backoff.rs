//! How long to wait before the next try.

use std::time::Duration;

use tokio::time::Instant;

/// The greatest cap: what doubles without one would soon be too much for a clock.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Delays that double up to a cap, each drawn at random from the upper half of its range, so that clients that lost
/// the same server at the same moment do not come back at the same moment ("equal jitter").
///
/// The very first delay is short: most interruptions are over at once, or another server is there.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    tries: u32,
    last: Option<Instant>,
}

impl Default for Backoff {
    /// 200 ms, doubling up to 800 ms: at most 5 tries in any second, and a server that is back is met within one.
    fn default() -> Self {
        Self::new(Duration::from_millis(200), Duration::from_millis(800))
    }
}

impl Backoff {
    /// Delays from `first` on, doubling up to `most`, and to a day at most.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most: most.min(LONGEST), tries: 0, last: None }
    }

    /// The next delay. What was calm for longer than twice the cap since the last one starts over with a short delay.
    pub fn next_delay(&mut self) -> Duration {
        self.next_at_most(self.most)
    }

    /// The same with a lower cap for this once.
    pub(crate) fn next_at_most(&mut self, most: Duration) -> Duration {
        let most = most.min(self.most);
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) > 2 * self.most) {
            self.tries = 0;
        }
        let delay = delay(self.first, most, self.tries, rand::random());
        self.tries = self.tries.saturating_add(1);
        self.last = Some(now + delay);
        delay
    }
}

/// `random` is from 0 to 1.
fn delay(first: Duration, most: Duration, tries: u32, random: f64) -> Duration {
    match tries {
        0 => (first / 4).min(most).mul_f64(random),
        _ => first.saturating_mul(1u32 << (tries - 1).min(20)).min(most).mul_f64(0.5 + random / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap_and_keep_to_the_upper_half() {
        let ms = Duration::from_millis;
        for (tries, random, expected) in [
            (0, 0.0, ms(0)),
            (0, 1.0, ms(50)),
            (1, 0.0, ms(100)),
            (1, 1.0, ms(200)),
            (2, 0.5, ms(300)),
            (3, 1.0, ms(800)),
            (4, 0.0, ms(500)),
            (4, 1.0, ms(1000)),
            (u32::MAX, 1.0, ms(1000)),
        ] {
            assert_eq!(delay(ms(200), ms(1000), tries, random), expected, "try {tries} with {random}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_calm_time_starts_the_delays_over() {
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            backoff.next_delay();
        }
        assert!(backoff.next_delay() >= Duration::from_millis(400));
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(backoff.next_delay() <= Duration::from_millis(50));
    }
    #[tokio::test(start_paused = true)]
    async fn no_delay_is_longer_than_a_day() {
        let mut backoff = Backoff::new(Duration::MAX, Duration::MAX);
        let delays: Vec<_> = (0..100).map(|_| backoff.next_delay()).collect();
        assert!(delays[1..].iter().all(|delay| (LONGEST / 2..=LONGEST).contains(delay)), "{delays:?}");
    }
}
