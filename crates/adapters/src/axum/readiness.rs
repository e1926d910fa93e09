//! Whether requests may come.

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// Who says whether this process is ready.
pub(super) enum Readiness {
    /// It is as long as it serves.
    Always,
    /// It is told.
    Told(watch::Receiver<bool>),
    /// It asks.
    Asked(Asked),
}

/// Who is asked, and when.
pub(super) struct Asked {
    every: Duration,
    /// When it is asked next; `None` when it never is.
    next: Option<Instant>,
    probe: Probe,
}

pub(super) type Probe = Box<dyn FnMut() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send>;

impl Asked {
    /// Is asked at once, and so often; at most a thousand times a second, for whoever asks without a pause does nothing else.
    pub(super) fn new(every: Duration, probe: Probe) -> Self {
        Self { every: every.max(Duration::from_millis(1)), next: Some(Instant::now()), probe }
    }

    /// Waits for its turn, and asks. Who does not answer in time is not ready.
    async fn ask(&mut self) -> bool {
        match self.next {
            None => std::future::pending().await,
            Some(next) => sleep_until(next).await,
        }
        self.next = Instant::now().checked_add(self.every);
        timeout(self.every, (self.probe)()).await.unwrap_or(false)
    }
}

impl Readiness {
    /// Waits until readiness is another one than `known`. May be dropped at any time.
    pub(super) async fn other_than(&mut self, known: bool) -> bool {
        let other = match self {
            Self::Always if known => std::future::pending().await,
            Self::Always => Ok(true),
            Self::Told(told) => told.wait_for(|now| *now != known).await.map(|now| *now),
            Self::Asked(asked) => loop {
                let now = asked.ask().await;
                if now != known {
                    break Ok(now);
                }
            },
        };
        match other {
            Ok(other) => other,
            // Whoever told is gone: what was told last stays true.
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// When it was asked, if its answers change each time.
    async fn asked(every: Duration) -> Vec<Duration> {
        let (start, times) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
        let heard = times.clone();
        let probe: Probe = Box::new(move || {
            let mut heard = heard.lock().unwrap();
            heard.push(start.elapsed());
            let answer = heard.len() % 2 == 1;
            Box::pin(std::future::ready(answer))
        });
        let mut readiness = Readiness::Asked(Asked::new(every, probe));
        let mut known = false;
        for _ in 0..4 {
            known = readiness.other_than(known).await;
        }
        let times = times.lock().unwrap();
        times.clone()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_asked_at_once_and_then_as_often_as_was_said_also_when_the_answer_changes() {
        let times = [0, 20, 40, 60].map(Duration::from_millis);
        assert_eq!(asked(Duration::from_millis(20)).await, times);
        let times = [0, 1, 2, 3].map(Duration::from_millis);
        assert_eq!(asked(Duration::ZERO).await, times);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_once_in_all_time_stays_as_it_is() {
        let mut readiness =
            Readiness::Asked(Asked::new(Duration::MAX, Box::new(|| Box::pin(async { true }))));
        assert!(readiness.other_than(false).await);
        let again = timeout(Duration::from_secs(3600), readiness.other_than(true));
        assert!(again.await.is_err());
    }
}
