//! Answers that many ask for at the same time are asked for once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// For how long an answer is good enough, and how long nobody asks again after there was none.
const FRESH: Duration = Duration::from_secs(1);

/// An answer of ZooKeeper, and how old it is.
#[derive(Debug)]
pub(super) struct Asked<T> {
    last: Mutex<Last<T>>,
}

#[derive(Debug)]
struct Last<T> {
    answer: Option<Arc<T>>,
    tried: Option<Instant>,
    /// Since when there was no answer.
    silent: Option<Instant>,
}

impl<T> Default for Asked<T> {
    fn default() -> Self {
        Self { last: Mutex::new(Last { answer: None, tried: None, silent: None }) }
    }
}

/// The last answer, and since when it is not known to be true.
#[derive(Debug)]
pub struct Answer<T> {
    /// What was answered.
    pub value: Arc<T>,
    /// Since when no answer came, if the last try gave none.
    pub stale_since: Option<Instant>,
}

impl<T> Asked<T> {
    /// What was answered is not good enough any more: something has changed.
    pub(super) async fn forget(&self) {
        self.last.lock().await.tried = None;
    }

    /// The answer, asked for unless it was a moment ago; `None` when there never was one.
    pub(super) async fn get<E>(
        &self,
        patience: Duration,
        ask: impl Future<Output = Result<T, E>>,
    ) -> Option<Answer<T>> {
        // Those who come meanwhile wait for the same answer.
        let mut last = self.last.lock().await;
        if last.tried.is_none_or(|tried| tried.elapsed() >= FRESH) {
            let begun = Instant::now();
            match timeout(patience, ask).await {
                Ok(Ok(value)) => (last.answer, last.silent) = (Some(Arc::new(value)), None),
                Ok(Err(_)) | Err(_) => last.silent = last.silent.or(Some(begun)),
            }
            last.tried = Some(Instant::now());
        }
        last.answer.clone().map(|value| Answer { value, stale_since: last.silent })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, ready};

    use tokio::time::advance;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_asked_for_once_and_kept_while_there_is_no_other() {
        let (asked, count) = (Asked::default(), Cell::new(0));
        let good = async || {
            count.set(count.get() + 1);
            Ok::<_, ()>(count.get())
        };
        for _ in 0..3 {
            assert_eq!(*asked.get(PATIENCE, good()).await.unwrap().value, 1);
        }
        advance(FRESH).await;
        let again = asked.get(PATIENCE, good()).await.unwrap();
        assert_eq!((*again.value, again.stale_since), (2, None));

        advance(FRESH).await;
        let since = Instant::now();
        let silent = asked.get(PATIENCE, pending::<Result<_, ()>>()).await.unwrap();
        assert_eq!((*silent.value, silent.stale_since), (2, Some(since)));
        assert_eq!(since.elapsed(), PATIENCE);
        // Nobody waits again at once, and it is still that long ago.
        let still = asked.get(PATIENCE, pending::<Result<_, ()>>()).await.unwrap();
        assert_eq!((still.stale_since, since.elapsed()), (Some(since), PATIENCE));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_never_answered_is_not_known() {
        assert!(Asked::<u8>::default().get(PATIENCE, ready(Err::<u8, _>(()))).await.is_none());
    }
}
