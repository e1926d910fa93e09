//! Keeps a session open, and runs again what must be true on each connection.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::claim::OurSessions;
use crate::enlisted::Presences;
use crate::lease::Life;
use crate::link::{Link, Origin};
use crate::{Connect, Error, Grant, Lease, Moment, SessionId};

/// How many of its earlier sessions a process remembers. A node outlives its session by the session timeout, in which
/// nobody goes through this many.
const EARLIER: usize = 64;

/// Even the shortest session is not saved by more than ten tries a second.
const NEVER_FASTER: Duration = Duration::from_millis(200);

/// Owns the connection to ZooKeeper: opens the next one whenever one ended, until it is closed.
///
/// Dropping it without [`close`](Self::close) ends what runs on it, and the session without waiting for that: at once if
/// the runtime goes on for long enough and a server can be reached, else after its timeout.
///
/// # Examples
///
/// ```
/// use zk_session::{Keeper, State, fake::FakeZk};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keeper = Keeper::start(FakeZk::default().client()); // or ZooKeeper::builder("zk1:2181").build()?
/// let mut state = keeper.sessions().state();
/// state.wait_for(|state| matches!(state, State::Connected { .. })).await?;
/// keeper.close().await;
/// assert!(matches!(*state.borrow(), State::Closed));
/// # Ok(())
/// # }
/// ```
pub struct Keeper {
    sessions: Sessions,
    connect: Arc<dyn Connect>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("state", &*self.sessions.state.borrow()).finish_non_exhaustive()
    }
}

/// Runs bodies on the connections that a [`Keeper`] opens. Clones are cheap and share them.
#[derive(Clone, Debug)]
pub struct Sessions {
    pub(crate) presences: Presences,
    life: Life,
    current: watch::Receiver<Current>,
    state: watch::Receiver<State>,
}

/// What is known of the session right now.
#[derive(Clone, Debug)]
pub enum State {
    /// Not connected yet.
    Connecting {
        /// Why the last try failed.
        problem: Option<Error>,
    },
    /// Connected.
    Connected {
        /// To which session. Another id than before means that the earlier session is over.
        id: SessionId,
        /// The timeout that the server granted.
        timeout: Duration,
    },
    /// The connection is gone; whether the session still lives only the servers know.
    Suspended {
        /// The session that was connected last.
        id: SessionId,
        /// Since when.
        since: Instant,
        /// Why the last try to reconnect failed.
        problem: Option<Error>,
    },
    /// Closed by us.
    Closed,
}

#[derive(Clone, Debug)]
enum Current {
    None,
    Link(Link),
    Closed,
}

impl Keeper {
    /// Starts to keep a session open. Returns at once, whether a server can be reached or not.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(connect: impl Connect) -> Self {
        Self::start_with(Arc::new(connect), Backoff::default())
    }

    /// The same with delays of your own between tries.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start_with(connect: Arc<dyn Connect>, backoff: Backoff) -> Self {
        let (current_tx, current) = watch::channel(Current::None);
        let (state_tx, state) = watch::channel(State::Connecting { problem: None });
        let (stop, mut stopped) = watch::channel(false);
        let connecting = connect.clone();
        let presences = Presences::default();
        let life = Life::new(connect.clock(), Handle::current());
        let (counted, lives) = (presences.clone(), life.clone());
        let task = tokio::spawn(async move {
            let mut keeping = Keeping {
                current: current_tx,
                state: state_tx,
                backoff,
                hurry: None,
                earlier: Vec::new(),
                presences: counted,
                life: lives,
                connections: 0,
            };
            tokio::select! {
                _ = keeping.run(&*connecting) => {}
                _ = stopped.wait_for(|stop| *stop) => {}
            }
        });
        Self { sessions: Sessions { presences, life, current, state }, connect, stop, task }
    }

    /// The connections, to run bodies on.
    pub fn sessions(&self) -> Sessions {
        self.sessions.clone()
    }

    /// Ends the session in ZooKeeper, with all its ephemeral nodes, and everything that runs on it.
    ///
    /// Withdraw what should go in order before. Takes 2 s at most, also when no server can be reached.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it has closed the keeper all the same, but the session may be left to end after its timeout.
    pub async fn close(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            warn!(error = &error as &dyn std::error::Error, "the task that kept the session failed");
        }
        self.connect.close().await;
    }
}

/// The state of the task behind a [`Keeper`]. When it goes, for whatever reason, everybody is told.
struct Keeping {
    current: watch::Sender<Current>,
    state: watch::Sender<State>,
    backoff: Backoff,
    hurry: Option<Hurry>,
    earlier: Vec<SessionId>,
    presences: Presences,
    life: Life,
    /// How many connections there were.
    connections: u64,
}

/// A session that may still be saved is worth more tries than one that is lost for certain.
struct Hurry {
    until: Instant,
    pause: Duration,
}

impl Hurry {
    /// For a session of this timeout whose connection ended now. It does not end at the same moment for all who lost a server
    /// together, or their next tries would fall together too.
    fn start(timeout: Duration) -> Self {
        let lasts = timeout.mul_f64(0.9 + rand::random::<f64>() / 4.0);
        Self { until: Instant::now() + lasts, pause: (timeout / 10).max(NEVER_FASTER) }
    }
}

impl Keeping {
    async fn run(&mut self, connect: &dyn Connect) {
        loop {
            let asked = self.life.now();
            match connect.connect().await {
                Ok(session) => {
                    let (id, timeout) = (session.id(), session.timeout());
                    let ours = self.remember(id);
                    self.connections += 1;
                    // Before anything can be done in it: what was granted to another session counts no more.
                    let terms = self.life.enter(id, timeout);
                    let origin = Origin { number: self.connections, asked, terms };
                    let link = Link::new(session, ours, origin, self.presences.clone());
                    info!(session = %id, timeout_ms = timeout.as_millis(), "connected to ZooKeeper");
                    self.state.send_replace(State::Connected { id, timeout });
                    self.current.send_replace(Current::Link(link.clone()));
                    // A failure says that the connection is over.
                    let _ = link.clear().await;
                    link.ended().await;
                    self.current.send_replace(Current::None);
                    self.state.send_replace(State::Suspended { id, since: Instant::now(), problem: None });
                    info!(session = %id, "the connection to ZooKeeper ended");
                    self.hurry = Some(Hurry::start(timeout));
                }
                Err(error) => self.failed(error),
            }
            sleep(self.pause()).await;
        }
    }

    fn pause(&mut self) -> Duration {
        match &self.hurry {
            Some(hurry) if Instant::now() < hurry.until => self.backoff.next_at_most(hurry.pause),
            _ => self.backoff.next_delay(),
        }
    }

    /// Said once for each kind of trouble, so that an outage of an hour is a few lines and not thousands.
    fn failed(&self, error: Error) {
        let text = error.to_string();
        self.state.send_modify(|state| {
            if let State::Connecting { problem } | State::Suspended { problem, .. } = state {
                match problem {
                    Some(said) if said.to_string() == text => {
                        debug!(error = &error as &dyn std::error::Error, "cannot connect");
                    }
                    _ => warn!(error = &error as &dyn std::error::Error, "cannot connect to ZooKeeper"),
                }
                *problem = Some(error);
            }
        });
    }

    /// Our sessions up to now: the one that was just met, and those before it.
    fn remember(&mut self, id: SessionId) -> OurSessions {
        let ours =
            OurSessions { current: id, earlier: self.earlier.iter().copied().filter(|&e| e != id).collect() };
        self.earlier.retain(|&earlier| earlier != id);
        self.earlier.push(id);
        if self.earlier.len() > EARLIER {
            self.earlier.remove(0);
        }
        ours
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        // Before the session is closed in ZooKeeper, which lets somebody else lead.
        self.life.end();
        self.current.send_replace(Current::Closed);
        self.state.send_replace(State::Closed);
    }
}

impl Sessions {
    /// Keeps proving that the session is alive, until the last lease is dropped. That is done in the runtime of the [`Keeper`].
    pub fn lease(&self) -> Lease {
        self.life.lease(self)
    }

    /// Now, on the clock that leases are measured by.
    pub fn now(&self) -> Moment {
        self.life.now()
    }

    /// Whether what was granted counts still: no other session was met since, nor the same one with another timeout, and the
    /// keeper was not closed. That it has not run out is another question.
    pub fn honors(&self, grant: &Grant) -> bool {
        self.life.terms() == grant.terms
    }

    /// What is known of the session, and every change of it (fast ones may be skipped).
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Runs `body` on every connection, and again after it failed, until it returns a value.
    ///
    /// `None` when the keeper was closed before. The body is dropped at any of its awaits when its connection ends,
    /// so it has to look before it acts. After an error it is started over on the same connection, politely.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time, and drops the body with it.
    pub async fn each<T, Fut>(&self, mut body: impl FnMut(Link) -> Fut) -> Option<T>
    where
        Fut: Future<Output = Result<T, Error>>,
    {
        let mut backoff = Backoff::default();
        loop {
            let link = self.next().await?;
            if let Some(value) = link.run(body(link.clone()), &mut backoff).await {
                return Some(value);
            }
        }
    }

    /// The connection that is open, or the next one; `None` when the keeper was closed.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn next(&self) -> Option<Link> {
        let mut current = self.current.clone();
        let found = current
            .wait_for(|current| match current {
                Current::None => false,
                Current::Link(link) => !link.has_ended(),
                Current::Closed => true,
            })
            .await
            .ok()?
            .clone();
        match found {
            Current::Link(link) => Some(link),
            Current::None | Current::Closed => None,
        }
    }
}
