//! How many requests of a service may be sent once more, so that those who fail under load do not get more of it for that.
//!
//! A share of the requests of the last seconds, and some besides for services that are asked little: as the retry budgets of Finagle and
//! linkerd (`RetryBudget`), which have the same numbers unless set. Those of tower round the share to one in so many.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::rules::Retries;

/// For how many seconds a request and another try count.
const SECONDS: usize = 10;

/// The budget of a service.
#[derive(Debug)]
pub(super) struct Budget {
    begun: Instant,
    spent: Mutex<Spent>,
}

/// What was asked and tried again lately. Pure.
#[derive(Debug)]
struct Spent {
    allowed: Retries,
    /// The last seconds, each at its number modulo their count.
    seconds: [Second; SECONDS],
    /// The number of the newest one.
    newest: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    requests: u64,
    retries: u64,
}

impl Budget {
    pub(super) fn new(allowed: Retries) -> Self {
        let spent = Spent { allowed, seconds: [Second::default(); SECONDS], newest: 0 };
        Self { begun: Instant::now(), spent: Mutex::new(spent) }
    }

    /// So many are allowed from now on.
    pub(super) fn set(&self, allowed: Retries) {
        self.lock().allowed = allowed;
    }

    /// A request came.
    pub(super) fn request(&self, now: Instant) {
        let second = self.second(now);
        self.lock().request(second);
    }

    /// Whether one may be sent once more; then it is counted as that.
    pub(super) fn may_retry(&self, now: Instant) -> bool {
        let second = self.second(now);
        self.lock().may_retry(second)
    }

    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begun).as_secs()
    }

    fn lock(&self) -> MutexGuard<'_, Spent> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spent {
    fn request(&mut self, second: u64) {
        self.at(second).requests += 1;
    }

    fn may_retry(&mut self, second: u64) -> bool {
        self.at(second);
        let requests: u64 = self.seconds.iter().map(|it| it.requests).sum();
        let retries: u64 = self.seconds.iter().map(|it| it.retries).sum();
        let share = requests * u64::from(self.allowed.percent) / 100;
        let may = retries < share + u64::from(self.allowed.least) * SECONDS as u64;
        if may {
            self.at(second).retries += 1;
        }
        may
    }

    /// This second, or the newest one if it comes late; those that are over are forgotten.
    fn at(&mut self, second: u64) -> &mut Second {
        for passed in (self.newest + 1..=second).take(SECONDS) {
            self.seconds[place(passed)] = Second::default();
        }
        self.newest = self.newest.max(second);
        &mut self.seconds[place(self.newest)]
    }
}

fn place(second: u64) -> usize {
    (second % SECONDS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a second: so many requests, and so many tries that are wished for.
    type Step = (u64, u64, u64);

    /// How many tries of each step are allowed.
    fn allowed(percent: u32, least: u32, steps: &[Step]) -> Vec<u64> {
        let allowed = Retries { percent, least };
        let mut spent = Spent { allowed, seconds: [Second::default(); SECONDS], newest: 0 };
        let step = |&(second, requests, retries): &Step| {
            (0..requests).for_each(|_| spent.request(second));
            (0..retries).filter(|_| spent.may_retry(second)).count() as u64
        };
        steps.iter().map(step).collect()
    }

    #[test]
    fn a_share_of_the_requests_of_the_last_seconds_and_some_besides_are_tried_again() {
        // percent, least, steps: tries allowed
        for (percent, least, steps, expected) in [
            (20, 0, &[(0, 100, 100)][..], &[20][..]),
            (30, 0, &[(0, 100, 100)], &[30]),
            (60, 0, &[(0, 10, 10)], &[6]),
            (20, 0, &[(0, 4, 4)], &[0]),
            (20, 10, &[(0, 0, 500)], &[100]),
            (20, 10, &[(0, 100, 500)], &[120]),
            (0, 0, &[(0, 100, 1)], &[0]),
            (100, 0, &[(0, 50, 90)], &[50]),
            // Spent once, and back when it is ten seconds old.
            (20, 0, &[(0, 100, 15), (5, 0, 15), (9, 0, 1), (10, 100, 100)], &[15, 5, 0, 15]),
            (0, 1, &[(0, 0, 20), (9, 0, 1), (10, 0, 20)], &[10, 0, 10]),
            // A long silence leaves nothing.
            (20, 0, &[(3, 100, 0), (1_000_003, 0, 1)], &[0, 0]),
            // What is late counts as now.
            (20, 0, &[(20, 50, 5), (3, 50, 50)], &[5, 15]),
        ] {
            assert_eq!(allowed(percent, least, steps), expected, "{percent} {least} {steps:?}");
        }
    }
}
