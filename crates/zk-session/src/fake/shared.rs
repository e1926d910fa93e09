//! The one lock around the server, those who wait for it to change, and the task that keeps its time.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::server::Server;

/// What all clones, clients and connections of a fake share.
pub(super) struct Shared {
    server: Mutex<Server>,
    revision: watch::Sender<u64>,
    deadlines: Arc<Notify>,
    timer: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(timeout: Duration) -> Self {
        let deadlines = Arc::new(Notify::new());
        let server = Mutex::new(Server::new(timeout, deadlines.clone()));
        Self { server, revision: watch::Sender::new(0), deadlines, timer: Mutex::new(None) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The task that keeps time sees that nobody is left.
        self.deadlines.notify_one();
    }
}

impl Shared {
    /// The one way to the server: in a state that fits the time, and those who wait for a change are told.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Server) -> T) -> T {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        server.expire_due(Instant::now());
        let result = act(&mut server);
        let revision = server.revision();
        drop(server);
        self.revision.send_if_modified(|told| std::mem::replace(told, revision) != revision);
        result
    }

    /// Ready when something changes from now on, even before it is first polled.
    pub(super) fn changed(&self) -> impl Future<Output = ()> + use<> {
        let mut revision = self.revision.subscribe();
        async move {
            // The sender is in the same place as the server that somebody waits for.
            let _ = revision.changed().await;
        }
    }

    /// Makes sure that a task of this runtime ends sessions when their time has come.
    pub(super) fn keep_time(this: &Arc<Self>) {
        let mut timer = this.timer.lock().unwrap_or_else(PoisonError::into_inner);
        if timer.as_ref().is_none_or(JoinHandle::is_finished) {
            *timer = Some(tokio::spawn(expire_in_time(Arc::downgrade(this), this.deadlines.clone())));
        }
    }
}

async fn expire_in_time(shared: Weak<Shared>, deadlines: Arc<Notify>) {
    // Every look at the server ends what is due first.
    while let Some(next) = shared.upgrade().map(|shared| shared.with(|server| server.next_deadline())) {
        tokio::select! {
            () = deadlines.notified() => {}
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
    }
}
