//! How many requests ended how, and how long their answers took.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::Instant;

/// How a request ended, as far as its client is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Outcome {
    /// An instance answered with a status below 400.
    Good,
    /// An instance answered with a status of 400 to 499.
    ClientError,
    /// An instance answered with a status from 500 on.
    ServerError,
    /// The connection became a tunnel.
    Upgraded,
    /// What was asked is refused here, by 400 to 499 or 501.
    Refused,
    /// No rule matches the path: 404.
    NoRule,
    /// There is nobody to send it to: 503.
    Nobody,
    /// No instance could be reached: 502.
    Unreachable,
    /// There is no room here for one more connection to an instance, for want of files, ports or memory: 503.
    NoRoom,
    /// An instance did not answer in time, 504, or stopped in the middle of its answer.
    Late,
    /// An instance broke off before it answered, or answered what is no HTTP, 502, or broke off in the middle of its answer.
    Broken,
    /// The client went away before it had its whole answer.
    Left,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Good,
        Self::ClientError,
        Self::ServerError,
        Self::Upgraded,
        Self::Refused,
        Self::NoRule,
        Self::Nobody,
        Self::Unreachable,
        Self::NoRoom,
        Self::Late,
        Self::Broken,
        Self::Left,
    ];

    /// Its name, as a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
            Self::Upgraded => "upgraded",
            Self::Refused => "refused",
            Self::NoRule => "no_rule",
            Self::Nobody => "nobody",
            Self::Unreachable => "unreachable",
            Self::NoRoom => "no_room",
            Self::Late => "late",
            Self::Broken => "broken",
            Self::Left => "left",
        }
    }

    /// What an instance's answer means.
    pub(super) fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            101 => Self::Upgraded,
            ..400 => Self::Good,
            400..500 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

/// What is counted of requests. Only ever grows, but for what is in flight.
#[derive(Debug, Default)]
pub struct Figures {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
    retries: AtomicU64,
    withheld: AtomicU64,
    in_flight: AtomicU64,
}

/// Up to which milliseconds each bucket of [`Figures::latencies`] counts; one more counts the rest.
pub const BOUNDS: [u64; 14] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000];

/// How long answers took: from the whole head of a request to the whole head of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latencies {
    /// How many were within each of [`BOUNDS`] and above the one before; the last one counts those above all.
    pub buckets: [u64; BOUNDS.len() + 1],
    /// All of them together.
    pub sum: Duration,
}

impl Figures {
    /// How many requests ended this way.
    pub fn ended(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize].load(Relaxed)
    }

    /// How long answers took, those included that were made here.
    pub fn latencies(&self) -> Latencies {
        let buckets = std::array::from_fn(|place| self.buckets[place].load(Relaxed));
        Latencies { buckets, sum: Duration::from_nanos(self.nanoseconds.load(Relaxed)) }
    }

    /// How often a request was sent once more.
    pub fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    /// How often a request was not sent once more because too many were.
    pub fn withheld_retries(&self) -> u64 {
        self.withheld.load(Relaxed)
    }

    /// How many requests wait for their answers.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    pub(super) fn retry(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    pub(super) fn withhold_retry(&self) {
        self.withheld.fetch_add(1, Relaxed);
    }

    pub(super) fn begin(self: &Arc<Self>, begun: Instant) -> Counting {
        self.in_flight.fetch_add(1, Relaxed);
        Counting { figures: self.clone(), begun, has_head: false, outcome: Outcome::Left }
    }

    fn answered(&self, took: Duration) {
        self.in_flight.fetch_sub(1, Relaxed);
        let bucket = BOUNDS.partition_point(|bound| u128::from(*bound) * 1_000_000 < took.as_nanos());
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }
}

/// A request whose answer is not whole yet. Dropped without another word, its client went away.
#[derive(Debug)]
pub(super) struct Counting {
    figures: Arc<Figures>,
    begun: Instant,
    has_head: bool,
    outcome: Outcome,
}

impl Counting {
    /// The head of the answer is there: it waits no more, and how it ended is still to come.
    pub(super) fn answered(&mut self) {
        if !std::mem::replace(&mut self.has_head, true) {
            self.figures.answered(self.begun.elapsed());
        }
    }

    /// It ended this way.
    pub(super) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.answered();
        self.figures.outcomes[self.outcome as usize].fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_counts_once_by_its_end_and_by_its_time() {
        let figures = Arc::<Figures>::default();
        for (outcome, time) in [(Outcome::Good, 1_000), (Outcome::Good, 1_001), (Outcome::Late, 30_001_000)] {
            let counting = figures.begin(Instant::now());
            assert_eq!(figures.in_flight(), 1);
            advance(Duration::from_micros(time)).await;
            counting.end(outcome);
        }
        drop(figures.begin(Instant::now()));
        let ended = |outcome| figures.ended(outcome);
        assert_eq!((ended(Outcome::Good), ended(Outcome::Late), ended(Outcome::Left)), (2, 1, 1));
        let Latencies { buckets, sum } = figures.latencies();
        assert_eq!((buckets[0], buckets[1], buckets[14]), (2, 1, 1));
        assert_eq!(sum, Duration::from_micros(30_003_001));
        assert_eq!(figures.in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_a_request_ends_with_the_head_of_its_answer() {
        let figures = Arc::<Figures>::default();
        let mut counting = figures.begin(Instant::now());
        advance(Duration::from_millis(3)).await;
        counting.answered();
        assert_eq!((figures.in_flight(), figures.latencies().sum), (0, Duration::from_millis(3)));
        assert_eq!(figures.ended(Outcome::Good), 0);
        advance(Duration::from_secs(60)).await;
        counting.end(Outcome::Good);
        assert_eq!((figures.in_flight(), figures.latencies().sum), (0, Duration::from_millis(3)));
        assert_eq!((figures.ended(Outcome::Good), figures.ended(Outcome::Left)), (1, 0));
    }

    #[test]
    fn outcomes_are_at_their_places() {
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place, "{}", outcome.as_str());
        }
    }
}
