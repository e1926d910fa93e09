//! Leaving in order, within the time that a supervisor gives.

use std::time::Duration;

use futures::future::join_all;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zk_session::Keeper;

/// How long a node may take to go. Without ZooKeeper there is no use in waiting longer: it goes with the session.
const WITHDRAW: Duration = Duration::from_millis(700);

/// How long closing a session may take. A little less than the keeper itself allows, so that success can be told from
/// giving up.
const CLOSE: Duration = Duration::from_millis(1700);

/// A node of ours that is being taken away, connected or not, however long that takes.
#[derive(Debug)]
pub(crate) struct Withdrawal(JoinHandle<()>);

impl Withdrawal {
    /// Starts to wait for `leaving`, which has to go on by itself once it has begun.
    pub(crate) fn start(leaving: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(leaving))
    }

    /// Waits until the node is gone for good.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time; the withdrawal goes on.
    pub(crate) async fn done(&mut self) {
        // It never panics and is never aborted; if it were, nothing would keep the node any more.
        let _ = (&mut self.0).await;
    }

    /// Waits for all of them as long as an end may take: whether all are known to be gone.
    pub(crate) async fn all_done_soon(all: impl IntoIterator<Item = Self>) -> bool {
        let done = join_all(all.into_iter().map(|mut one| async move { one.done_soon().await })).await;
        done.into_iter().all(|done| done)
    }

    /// Waits for that as long as an end may take: whether it is known to be gone.
    pub(crate) async fn done_soon(&mut self) -> bool {
        timeout(WITHDRAW, self.done()).await.is_ok()
    }
}

/// Closes the session: whether it is known to be over, and its nodes with it. Otherwise it expires.
pub(crate) async fn close(keeper: Keeper) -> bool {
    timeout(CLOSE, keeper.close()).await.is_ok()
}
