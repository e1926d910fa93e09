//! Instances that are on their way out: their nodes go as soon as ZooKeeper is there.

use std::time::Duration;

use futures::FutureExt;
use registry::{Registration, Status};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tokio::time::timeout;

/// How many are on their way out, and may still be in ZooKeeper.
#[derive(Debug)]
pub(super) struct Leaving {
    count: watch::Sender<usize>,
}

/// What became of the node of one that left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// It is not there any more.
    Deleted,
    /// Somebody else has taken its place before.
    Replaced,
}

impl Default for Leaving {
    fn default() -> Self {
        Self { count: watch::Sender::new(0) }
    }
}

impl Leaving {
    /// Takes an instance away. It has its place among all until nothing of it is left here, whoever waits for that.
    pub(super) fn leave(
        &self,
        registration: Registration,
        place: OwnedSemaphorePermit,
    ) -> oneshot::Receiver<Gone> {
        let (tell, told) = oneshot::channel();
        let one = One::begin(&self.count);
        let mut status = registration.status();
        let was_there = matches!(*status.borrow(), Status::Registered { .. } | Status::Replaced);
        let mut withdrawn = registration.withdraw().boxed();
        // It begins at once: whoever registers the same id next finds that nobody wants it any more.
        let at_once = withdrawn.as_mut().now_or_never().is_some();
        tokio::spawn(async move {
            if !at_once {
                withdrawn.await;
            }
            let over = |status: &Status| matches!(status, Status::Replaced | Status::Withdrawn);
            // What was there has its last word by now, or in a moment. What was never tried has none before there is a connection.
            let replaced =
                was_there && matches!(status.wait_for(over).await.as_deref(), Ok(Status::Replaced));
            drop(one);
            // Nobody may wait for it.
            let _ = tell.send(if replaced { Gone::Replaced } else { Gone::Deleted });
            let _ = status.wait_for(over).await;
            drop(place);
        });
        told
    }

    /// How many may still be in ZooKeeper.
    pub(super) fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits until none is, and no longer than `patience`. Gives how many are left.
    pub(super) async fn all_gone(&self, patience: Duration) -> usize {
        let mut count = self.count.subscribe();
        let _ = timeout(patience, count.wait_for(|count| *count == 0)).await;
        self.count()
    }
}

/// One that is counted, until it is dropped.
struct One {
    count: watch::Sender<usize>,
}

impl One {
    fn begin(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self { count: count.clone() }
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.count.send_modify(|count| *count -= 1);
    }
}
