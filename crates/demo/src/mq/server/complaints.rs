//! What is said of messages that nobody understands: enough to find out who sends them, however many there are.

use std::time::Duration;

use tokio::time::Instant;

/// After one was told, the next that is.
const QUIET: Duration = Duration::from_secs(10);

/// How many there were, and which of them are told.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    last: Option<Instant>,
    untold: u64,
    all: u64,
}

impl Complaints {
    /// Counts a message: what is to be said about it, if anything.
    pub(super) fn note(&mut self, why: &str, now: Instant) -> Option<String> {
        self.all += 1;
        if self.last.is_some_and(|last| now.duration_since(last) < QUIET) {
            self.untold += 1;
            return None;
        }
        self.last = Some(now);
        let before = match std::mem::take(&mut self.untold) {
            0 => String::new(),
            many => format!("; {many} others since the last that was told"),
        };
        Some(format!("a message was not understood: {why}{before}"))
    }

    pub(super) fn all(&self) -> u64 {
        self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_and_then_one_every_ten_seconds_with_how_many_were_not() {
        let begin = Instant::now();
        let mut complaints = Complaints::default();
        for (after, told) in [
            (0, Some("a message was not understood: why")),
            (0, None),
            (9, None),
            (10, Some("a message was not understood: why; 2 others since the last that was told")),
            (11, None),
            (30, Some("a message was not understood: why; 1 others since the last that was told")),
            (40, Some("a message was not understood: why")),
        ] {
            assert_eq!(
                complaints.note("why", begin + Duration::from_secs(after)).as_deref(),
                told,
                "{after}"
            );
        }
        assert_eq!(complaints.all(), 7);
    }
}
