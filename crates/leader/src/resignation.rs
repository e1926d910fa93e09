//! That a candidate does not want to lead any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Given once, and for good. Clones are the same. Takes no lock, so that it can be given and asked under any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resignation(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    given: AtomicBool,
    told: Notify,
}

impl Resignation {
    pub(crate) fn give(&self) {
        self.0.given.store(true, Ordering::SeqCst);
        // For the one campaign that waits, or will.
        self.0.told.notify_one();
    }

    pub(crate) fn is_given(&self) -> bool {
        self.0.given.load(Ordering::SeqCst)
    }

    /// Waits until it is given. One task at most may wait.
    pub(crate) async fn given(&self) {
        while !self.is_given() {
            self.0.told.notified().await;
        }
    }
}
