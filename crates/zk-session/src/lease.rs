//! Until when the session is surely alive, for those who need to know.

use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::renewing::{Grant, Renewing};
use crate::{Clock, Error, Moment, SessionId, Sessions};

/// Until when a session is surely alive, whatever happens to connections, servers and this process.
///
/// While a value exists, one small request for each tenth of the session timeout keeps the knowledge fresh: a read, or,
/// while anybody [renews](Self::renew_with) the lease, a write; a write that is acknowledged proves that ZooKeeper's leader
/// has heard of what was answered a third of the timeout earlier. All leases on the same [`Sessions`] share the requests.
///
/// # Where this is void
///
/// Where the session timeout is less than two ticks of the server, which takes a `minSessionTimeout` set that low, or less
/// than four with observers in the ensemble; and where the clock of this machine is slower than the servers' by a fifth.
#[derive(Clone, Debug)]
pub struct Lease(Arc<Renewed>);

/// While this exists, the lease is renewed by writes that check a node.
#[derive(Debug)]
pub struct Renewal {
    number: u64,
    missing: watch::Receiver<bool>,
    renewed: Arc<Renewed>,
}

/// The task that asks, for as long as anybody needs to know.
#[derive(Debug)]
struct Renewed {
    renewing: Arc<Renewing>,
    task: JoinHandle<()>,
}

impl Drop for Renewed {
    fn drop(&mut self) {
        // What it asks changes nothing, so nothing is owed.
        self.task.abort();
    }
}

impl Lease {
    /// The newest grant. It stays there when it has run out: compare it with [`Sessions::now`]. `None` before the first, and
    /// as soon as something is answered in another session, or in the same one with another timeout. Whether a grant counts
    /// still, [`Sessions::honors`] knows sooner.
    pub fn grants(&self) -> watch::Receiver<Option<Grant>> {
        self.0.renewing.grants.subscribe()
    }

    /// Why the lease cannot be renewed, if a server refuses that.
    pub fn problem(&self) -> watch::Receiver<Option<Error>> {
        self.0.renewing.problem.subscribe()
    }

    /// Renews the lease by writes that check whether `node` is there: one at once, then as often as it takes, until the
    /// value is dropped.
    ///
    /// They change nothing, and wake nobody who watches the node.
    pub fn renew_with(&self, node: &str) -> Renewal {
        let (number, missing) = self.0.renewing.check(node);
        Renewal { number, missing, renewed: self.0.clone() }
    }
}

impl Renewal {
    /// Returns when a check found that the node is not there. It is not checked again after that.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn missing(&mut self) {
        if self.missing.wait_for(|missing| *missing).await.is_err() {
            // Nobody checks any more, so nobody finds it missing.
            pending::<()>().await;
        }
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.renewed.renewing.uncheck(self.number);
    }
}

/// On which terms we have a session now, by which clock, and the one task that proves that it lives.
#[derive(Clone, Debug)]
pub(crate) struct Life(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    /// The keeper's, without which there is no session: whoever asks for a lease may be in one that ends before the others' do.
    runtime: Handle,
    /// Grows with each other session, each other timeout of the same one, and when all is closed.
    terms: AtomicU64,
    met: Mutex<Option<(SessionId, Duration)>>,
    renewed: Mutex<Weak<Renewed>>,
}

impl Life {
    pub(crate) fn new(clock: Arc<dyn Clock>, runtime: Handle) -> Self {
        let (met, renewed) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Shared { clock, runtime, terms: AtomicU64::new(0), met, renewed }))
    }

    pub(crate) fn now(&self) -> Moment {
        self.0.clock.now()
    }

    /// This is our session from now on, on the terms whose number is given.
    pub(crate) fn enter(&self, session: SessionId, timeout: Duration) -> u64 {
        let new = lock(&self.0.met).replace((session, timeout)) != Some((session, timeout));
        self.0.terms.fetch_add(u64::from(new), Ordering::SeqCst) + u64::from(new)
    }

    /// We have no session any more.
    pub(crate) fn end(&self) {
        self.0.terms.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn terms(&self) -> u64 {
        self.0.terms.load(Ordering::SeqCst)
    }

    /// The lease on these sessions, which all share who ask for it.
    pub(crate) fn lease(&self, sessions: &Sessions) -> Lease {
        let mut shared = lock(&self.0.renewed);
        let asks = |renewed: &Arc<Renewed>| !renewed.task.is_finished();
        let renewed = shared.upgrade().filter(asks).unwrap_or_else(|| {
            let renewing = Arc::new(Renewing::new(self.0.clock.clone()));
            let task = self.0.runtime.spawn(renewing.clone().run(sessions.clone()));
            Arc::new(Renewed { renewing, task })
        });
        *shared = Arc::downgrade(&renewed);
        Lease(renewed)
    }
}

/// A panic elsewhere leaves what is behind these locks whole: every change is a single call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
