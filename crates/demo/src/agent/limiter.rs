//! How often an error is worth a line.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The same text is said once in this time.
const PAUSE: Duration = Duration::from_secs(5);

/// So many different texts are said in that time; of the others only the number.
const MANY: usize = 100;

/// Lets each text through once in [`PAUSE`], and not more than [`MANY`] of them.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    said: VecDeque<(Instant, String)>,
    held_back: u64,
}

impl Limiter {
    /// The lines to say now because of `text`.
    pub(crate) fn let_through(&mut self, now: Instant, text: String) -> Vec<String> {
        while self.said.front().is_some_and(|(at, _)| now.duration_since(*at) >= PAUSE) {
            self.said.pop_front();
        }
        if self.said.iter().any(|(_, said)| *said == text) {
            return Vec::new();
        }
        if self.said.len() >= MANY {
            self.held_back += 1;
            return Vec::new();
        }
        self.said.push_back((now, text.clone()));
        self.held_back().into_iter().chain([text]).collect()
    }

    /// A line about those that were held back for being too many, if there were any since the last one.
    pub(crate) fn held_back(&mut self) -> Option<String> {
        let many = std::mem::take(&mut self.held_back);
        (many > 0).then(|| format!("{many} more errors were not said: they came too fast"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_is_said_once_in_five_seconds() {
        let (mut limiter, start) = (Limiter::default(), Instant::now());
        let mut at = |ms, text: &str| limiter.let_through(start + Duration::from_millis(ms), text.into());
        assert_eq!(at(0, "a"), ["a"]);
        assert!(at(1, "a").is_empty());
        assert_eq!(at(2, "b"), ["b"]);
        assert!(at(4_999, "a").is_empty());
        assert_eq!(at(5_000, "a"), ["a"]);
        assert!(at(5_001, "b").is_empty());
        assert_eq!(at(5_002, "b"), ["b"]);
    }

    #[test]
    fn a_flood_of_different_texts_is_counted() {
        let (mut limiter, start) = (Limiter::default(), Instant::now());
        for number in 0..MANY {
            assert_eq!(limiter.let_through(start, number.to_string()).len(), 1);
        }
        for number in MANY..MANY + 7 {
            assert!(limiter.let_through(start, number.to_string()).is_empty());
        }
        assert_eq!(
            limiter.let_through(start + PAUSE, "later".into()),
            ["7 more errors were not said: they came too fast", "later"]
        );
        assert_eq!(limiter.held_back(), None);
    }
}
