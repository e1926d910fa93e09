//! Where a directory is published.

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::Error;
use crate::view::{BadNode, Entries, Source, View};

/// The channels of one directory.
pub(crate) struct Publisher<T> {
    pub(crate) path: String,
    pub(crate) view: watch::Sender<Option<View<T>>>,
    pub(crate) entries: watch::Sender<Option<Entries<T>>>,
    pub(crate) problem: watch::Sender<Option<Error>>,
}

impl<T> Publisher<T> {
    /// Until the value is dropped, what was published last counts as known.
    pub(crate) fn vouch(&self) -> StaleOnDrop<T> {
        StaleOnDrop(self.view.clone())
    }

    /// The view first: whoever has a list finds its source.
    pub(crate) fn send(&self, entries: Entries<T>, bad: Entries<BadNode>, stale: bool) {
        self.view.send_if_modified(|now| {
            let source = match (stale, now.as_ref().map(|now| now.source)) {
                (false, _) => Source::Live,
                (true, Some(Source::Stale { since })) => Source::Stale { since },
                (true, _) => Source::Stale { since: Instant::now() },
            };
            let differs = |now: &View<T>| {
                now.source != source || !now.bad.is_same(&bad) || !now.entries.is_same(&entries)
            };
            let differ = now.as_ref().is_none_or(differs);
            if differ {
                if now.is_none() {
                    info!(path = self.path, entries = entries.len(), "the first whole list is here");
                }
                *now = Some(View { entries: entries.clone(), source, bad });
            }
            differ
        });
        self.entries.send_if_modified(|now| {
            let differ = now.as_ref().is_none_or(|now| !now.is_same(&entries));
            if differ {
                *now = Some(entries);
            }
            differ
        });
    }

    /// Told and logged once for each kind of trouble.
    pub(crate) fn report(&self, error: Option<&Error>) {
        self.problem.send_if_modified(|now| {
            let differ = now.as_ref().map(Error::to_string) != error.map(Error::to_string);
            if differ {
                if let Some(error) = error {
                    warn!(
                        error = error as &dyn std::error::Error,
                        path = self.path,
                        "cannot follow the directory"
                    );
                }
                *now = error.cloned();
            }
            differ
        });
    }
}

/// A list is not known to be the truth when its connection is over, however following it ends.
pub(crate) struct StaleOnDrop<T>(watch::Sender<Option<View<T>>>);

impl<T> Drop for StaleOnDrop<T> {
    fn drop(&mut self) {
        self.0.send_if_modified(|view| match view {
            Some(View { source: source @ Source::Live, .. }) => {
                *source = Source::Stale { since: Instant::now() };
                true
            }
            _ => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Wake, Waker};

    use super::*;

    /// Looks at the view in the moment in which it is woken.
    struct Look {
        view: watch::Receiver<Option<View<u8>>>,
        seen: AtomicBool,
    }

    impl Wake for Look {
        fn wake(self: Arc<Self>) {
            self.seen.store(self.view.borrow().is_some(), Ordering::SeqCst);
        }
    }

    #[test]
    fn whoever_has_a_list_finds_its_source() {
        let ((view, views), (entries, mut lists)) = (watch::channel(None), watch::channel(None));
        let publisher = Publisher { path: "/a".to_owned(), view, entries, problem: watch::channel(None).0 };
        let look = Arc::new(Look { view: views, seen: AtomicBool::new(false) });
        let waker = Waker::from(look.clone());
        let mut changed = pin!(lists.changed());
        assert!(changed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        publisher.send([Arc::new(1)].into_iter().collect(), Entries::default(), false);
        assert!(look.seen.load(Ordering::SeqCst));
    }
}
