//! A moment that is put off again and again, and hardly ever comes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// A moment that is put off again and again, and hardly ever comes: until when a request may take, of one request after the other.
///
/// A timer that is made and dropped for each of them is entered with the runtime and taken out again each time. This one stays where it is, goes
/// off too early, and only then is set to when it should: once a minute, say, and not ten thousand times a second.
#[derive(Debug, Default)]
pub(crate) struct Deadline {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Whether this moment has come. It may be another one than that of the last call; whoever asked last is woken for it, and sometimes before.
    pub(crate) fn poll(&mut self, until: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if until < sleep.deadline() {
            sleep.as_mut().reset(until);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= until {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    async fn waits(deadline: &mut Deadline, seconds: u64) -> Duration {
        let since = Instant::now();
        let until = since + Duration::from_secs(seconds);
        poll_fn(|cx| deadline.poll(until, cx)).await;
        since.elapsed()
    }

    /// Waits for it, and stops before it comes.
    fn begins(deadline: &mut Deadline, seconds: u64) {
        let until = Instant::now() + Duration::from_secs(seconds);
        let polled = deadline.poll(until, &mut Context::from_waker(std::task::Waker::noop()));
        assert!(polled.is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn each_wait_ends_at_its_own_moment() {
        let mut deadline = Deadline::default();
        begins(&mut deadline, 10);
        advance(Duration::from_secs(4)).await;
        // Put off: what was entered for 10 s goes off on the way.
        assert_eq!(waits(&mut deadline, 30).await, Duration::from_secs(30));
        begins(&mut deadline, 60);
        // And sooner than what was entered.
        assert_eq!(waits(&mut deadline, 5).await, Duration::from_secs(5));
        begins(&mut deadline, 1);
        // It went off while nobody waited.
        advance(Duration::from_secs(100)).await;
        assert_eq!(waits(&mut deadline, 2).await, Duration::from_secs(2));
        assert_eq!(waits(&mut deadline, 0).await, Duration::ZERO);
    }
}
