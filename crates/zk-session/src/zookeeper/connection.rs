//! One connection: what runs it, what ends it, and how nobody waits for an answer that cannot come.

use std::fmt;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit, watch};
use tokio::time::timeout;
use tracing::{debug, warn};
use zookeeper_client::{Acl, Client, SessionState, StateWatcher};

use super::CLOSE_LIMIT;
use super::dial::Dialed;
use crate::{Error, SessionId};

/// How many requests may be unanswered at once. More of them wait, so that memory stays bounded.
const IN_FLIGHT: usize = 2_000;

/// A session over one connection, as long as that lasts.
///
/// The client would reconnect by itself, and does it badly: persistent watches are lost, requests that nobody waits
/// for are sent later, back-off grows without limit. So its task is run by ours, which stops it at the first change
/// of its state, in the same breath, before a reconnect can get anywhere.
pub(super) struct Connection {
    id: SessionId,
    timeout: Duration,
    chroot: String,
    acl: Arc<[Acl]>,
    phase: watch::Sender<Phase>,
    /// `None` when it is over. Answers and watches are polled under its read lock only: a watch of the client panics
    /// when it is polled after the client's task is gone, and that task goes after this has been emptied.
    client: RwLock<Option<Arc<Client>>>,
    /// Another one, so that the client's task sees the last one go only when a close was asked for: before anybody is told of
    /// that, or each watch that is dropped then would be taken back by a request of its own.
    kept: std::sync::Mutex<Option<Arc<Client>>>,
    /// Held while a request waits for room and until it is sent, so that they go out in the order of the calls.
    turn: Mutex<()>,
    room: Semaphore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nothing can be asked any more; the session is being ended in ZooKeeper.
    Closing,
    Over {
        /// Whether ZooKeeper said that it ended the session.
        closed: bool,
    },
}

impl Connection {
    pub(super) fn open(dialed: Dialed, acl: Arc<[Acl]>) -> Arc<Self> {
        let (id, timeout) = (dialed.id(), dialed.timeout());
        let (states, chroot) = (dialed.client.state_watcher(), dialed.client.path().to_owned());
        let client = Arc::new(dialed.client);
        let connection = Arc::new(Self {
            id,
            timeout,
            chroot,
            acl,
            phase: watch::Sender::new(Phase::Open),
            client: RwLock::new(Some(client.clone())),
            kept: std::sync::Mutex::new(Some(client)),
            turn: Mutex::default(),
            room: Semaphore::new(IN_FLIGHT),
        });
        tokio::spawn(connection.clone().serve(states, dialed.task));
        connection
    }

    pub(super) fn id(&self) -> SessionId {
        self.id
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn chroot(&self) -> &str {
        &self.chroot
    }

    pub(super) fn acl(&self) -> &[Acl] {
        &self.acl
    }

    /// What sends requests. Nobody may keep it for longer than a request takes: the session is closed when it is gone.
    pub(super) fn client(&self) -> Result<Arc<Client>, Error> {
        let client = self.client.read().unwrap_or_else(PoisonError::into_inner);
        client.clone().ok_or(Error::Interrupted)
    }

    /// Calls `send`, which sends a request at once, when it is its turn, and waits for the answer.
    ///
    /// `None` when the connection is over, which it also is when there was no answer for a session timeout.
    pub(super) async fn ask<F: Future>(&self, send: impl FnOnce() -> F) -> Option<F::Output> {
        let (turn, _room) = self.turn().await?;
        let answer = send();
        drop(turn);
        match timeout(self.timeout, self.while_open(answer)).await {
            Ok(answer) => answer,
            Err(_) => {
                warn!(session = %self.id, waited = ?self.timeout, "no answer from ZooKeeper: giving the connection up");
                self.end();
                None
            }
        }
    }

    async fn turn(&self) -> Option<(MutexGuard<'_, ()>, SemaphorePermit<'_>)> {
        if let Ok(turn) = self.turn.try_lock()
            && let Ok(room) = self.room.try_acquire()
        {
            return Some((turn, room));
        }
        let turn = async {
            let turn = self.turn.lock().await;
            self.room.acquire().await.ok().map(|room| (turn, room))
        };
        self.while_open(turn).await?
    }

    /// The outcome of `future`, or `None` when the connection is over first.
    ///
    /// The client panics on some answers that no server should give. That ends the connection, not the caller.
    pub(super) async fn while_open<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut over = pin!(self.ended());
        let mut future = pin!(AssertUnwindSafe(future).catch_unwind());
        let outcome = poll_fn(|cx| {
            if over.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            let client = self.client.read().unwrap_or_else(PoisonError::into_inner);
            match client.as_ref() {
                Some(_) => future.as_mut().poll(cx).map(Some),
                None => Poll::Ready(None),
            }
        })
        .await?;
        if outcome.is_err() {
            warn!(session = %self.id, "ZooKeeper gave an answer that makes no sense: giving the connection up");
            self.end();
        }
        outcome.ok()
    }

    /// Returns when nothing can be asked any more.
    pub(super) async fn ended(&self) {
        self.reached(|phase| phase != Phase::Open).await;
    }

    async fn reached(&self, wanted: impl Fn(Phase) -> bool) {
        drop(self.phase.subscribe().wait_for(|phase| wanted(*phase)).await);
    }

    /// Gives the connection up and leaves the session as it is.
    pub(super) fn end(&self) {
        self.enter(Phase::Over { closed: false });
    }

    /// Begins to end the session in ZooKeeper.
    pub(super) fn start_closing(&self) {
        self.enter(Phase::Closing);
    }

    /// Ends the session in ZooKeeper; whether it said so before the connection went.
    pub(super) async fn close(&self) -> bool {
        self.start_closing();
        self.reached(|phase| matches!(phase, Phase::Over { .. })).await;
        *self.phase.borrow() == Phase::Over { closed: true }
    }

    fn enter(&self, next: Phase) {
        let client = self.client.write().unwrap_or_else(PoisonError::into_inner).take();
        if next == Phase::Closing {
            drop((client, self.let_go()));
        }
        self.phase.send_if_modified(|phase| {
            let forward = match *phase {
                Phase::Open => true,
                Phase::Closing => next != Phase::Closing,
                Phase::Over { .. } => false,
            };
            if forward {
                *phase = next;
            }
            forward
        });
    }

    fn let_go(&self) -> Option<Arc<Client>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Runs the client's task until its state changes or we are told to stop, and no longer.
    async fn serve(self: Arc<Self>, mut states: StateWatcher, mut task: BoxFuture<'static, ()>) {
        // Declared after the task: it is dropped before it, so that whoever holds a watch knows before the task goes.
        let mut over = OverOnDrop { connection: &self, closed: false };
        let mut end = run(&mut task, &mut states, self.ended()).await;
        if end.is_none() && *self.phase.borrow() == Phase::Closing {
            let told = self.reached(|phase| matches!(phase, Phase::Over { .. }));
            end = timeout(CLOSE_LIMIT, run(&mut task, &mut states, told)).await.ok().flatten();
        }
        over.closed = end == Some(SessionState::Closed);
        debug!(session = %self.id, state = ?end, "the connection to ZooKeeper is over");
        drop(over);
        drop(task);
        self.let_go();
    }
}

/// Polls `task` until the client's state changes, `told` is ready or the task itself is.
async fn run(
    task: &mut BoxFuture<'static, ()>,
    states: &mut StateWatcher,
    told: impl Future<Output = ()>,
) -> Option<SessionState> {
    let (mut changed, mut told) = (pin!(states.changed()), pin!(told));
    poll_fn(|cx| {
        if told.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        let finished = task.as_mut().poll(cx).is_ready();
        // After the task's poll: a lost connection makes it open another one, which it gets no chance to say a word on.
        match changed.as_mut().poll(cx) {
            Poll::Ready(state) => Poll::Ready(Some(state)),
            Poll::Pending if finished => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

struct OverOnDrop<'a> {
    connection: &'a Connection,
    closed: bool,
}

impl Drop for OverOnDrop<'_> {
    fn drop(&mut self) {
        self.connection.enter(Phase::Over { closed: self.closed });
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("session", &self.id)
            .field("timeout", &self.timeout)
            .field("phase", &*self.phase.borrow())
            .finish_non_exhaustive()
    }
}
