//! What was told to somebody who did not look yet.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::Error;

/// What is kept for its only reader, and that no more comes.
#[derive(Debug, Default)]
pub(crate) struct Told<T> {
    now: Mutex<Now<T>>,
    /// There is something to look into, or no more comes.
    news: Notify,
}

#[derive(Debug, Default)]
struct Now<T> {
    unread: T,
    /// The connection is gone, and with it what comes next.
    over: bool,
}

impl<T> Told<T> {
    /// Adds to what is kept; `note` says whether its reader is to look. It must not wait for anybody.
    pub(crate) fn note(&self, note: impl FnOnce(&mut T) -> bool) {
        if self.with(note) {
            self.news.notify_one();
        }
    }

    /// No more comes.
    pub(crate) fn end(&self) {
        self.now().over = true;
        self.news.notify_one();
    }

    /// Waits until `is_any` says that there is something to look into.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] when there is nothing and no more comes.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when this is dropped before it is ready.
    pub(crate) async fn some(&self, is_any: impl Fn(&T) -> bool) -> Result<(), Error> {
        loop {
            let news = self.news.notified();
            let (any, over) = {
                let now = self.now();
                (is_any(&now.unread), now.over)
            };
            match (any, over) {
                (true, _) => return Ok(()),
                (false, true) => return Err(Error::Interrupted),
                (false, false) => news.await,
            }
        }
    }

    /// Looks at what is kept.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&mut T) -> R) -> R {
        look(&mut self.now().unread)
    }

    fn now(&self) -> MutexGuard<'_, Now<T>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
