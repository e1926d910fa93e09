//! Until when the session is surely alive, for those who need to know.

use std::future::pending;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

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
    /// when the servers changed the session's timeout: all granted before is void then.
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

/// Which session is ours now, by which clock, and the one task that proves that it lives.
#[derive(Clone, Debug)]
pub(crate) struct Life(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    /// The number of the session that we have, or had last; 0, which none has, before the first and when all is closed.
    current: AtomicI64,
    renewed: Mutex<Weak<Renewed>>,
}

impl Life {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared { clock, current: AtomicI64::new(0), renewed: Mutex::default() }))
    }

    pub(crate) fn now(&self) -> Moment {
        self.0.clock.now()
    }

    /// Ours is this one from now on, or none.
    pub(crate) fn enter(&self, session: Option<SessionId>) {
        self.0.current.store(session.map_or(0, |SessionId(number)| number), Ordering::SeqCst);
    }

    pub(crate) fn is_ours(&self, SessionId(number): SessionId) -> bool {
        self.0.current.load(Ordering::SeqCst) == number
    }

    /// The lease on these sessions, which all share who ask for it.
    pub(crate) fn lease(&self, sessions: &Sessions) -> Lease {
        let mut shared = self.0.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        let renewed = shared.upgrade().unwrap_or_else(|| {
            let renewing = Arc::new(Renewing::new(self.0.clock.clone()));
            let task = tokio::spawn(renewing.clone().run(sessions.clone()));
            Arc::new(Renewed { renewing, task })
        });
        *shared = Arc::downgrade(&renewed);
        Lease(renewed)
    }
}
