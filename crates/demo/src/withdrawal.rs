//! Leaving in order, within the time that a supervisor gives.

use cli::ending::WITHDRAW;
use futures::future::join_all;
use tokio::task::JoinHandle;
use tokio::time::timeout;

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
