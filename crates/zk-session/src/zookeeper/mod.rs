//! Sessions on real ZooKeeper servers. This module alone names `zookeeper_client`.
//!
//! Each connection is a client of its own, which never reconnects: see `connection`.

mod connection;
mod dial;
mod pace;
mod refusal;
mod session;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;
use zookeeper_client::SessionInfo;

use self::connection::Connection;
use self::dial::{Dialed, Dialer, NotDialed};
use self::session::Line;
use crate::options::Builder;
use crate::servers::Servers;
use crate::{Connect, Error, Session};

/// How long [`Connect::close`] takes at most.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// How long a close waits for the answer on the connection that is open, before it tries another one.
const POLITE: Duration = Duration::from_secs(1);

/// How long a close waits between two attempts to reach a server.
const CLOSE_PAUSE: Duration = Duration::from_millis(100);

/// An ensemble of ZooKeeper servers and the session that we have, or had, with it.
///
/// Owns the current connection. When it is dropped without [`close`](Connect::close) while connected, the session is
/// closed all the same if the runtime goes on for long enough; otherwise it expires.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
/// use zk_session::{Connect, ZooKeeper};
///
/// # async fn example() -> Result<(), zk_session::Error> {
/// let zookeeper = ZooKeeper::builder("zk1:2181,zk2:2181,zk3:2181/payments")
///     .session_timeout(Duration::from_secs(10))
///     .build()?;
/// let session = zookeeper.connect().await?;
/// println!("{} has {:?}", session.id(), session.children("/").await?);
/// zookeeper.close().await;
/// # Ok(())
/// # }
/// ```
pub struct ZooKeeper {
    dialer: Dialer,
    known: Mutex<Known>,
    closing: watch::Sender<bool>,
}

/// What is remembered from one connection to the next.
#[derive(Default)]
struct Known {
    /// The session that may still live in ZooKeeper.
    session: Option<SessionInfo>,
    /// The session timeout that the servers granted last.
    granted: Option<Duration>,
    /// The newest connection, over or not.
    connection: Option<Arc<Connection>>,
    /// When that was found to be over.
    lost: Option<Instant>,
    /// Whether the last round ended in silence.
    unheard: bool,
}

impl Known {
    /// Whether the session is lost if it is not met again soon.
    fn is_in_danger(&self) -> bool {
        self.lost.zip(self.granted).is_some_and(|(lost, granted)| lost.elapsed() < granted)
    }

    /// Whether servers may hear us ask for the session, and let it live for that, while nothing that they say arrives: for
    /// as long as a session lasts nothing did.
    fn is_kept_by_asking(&self) -> bool {
        self.unheard && !self.is_in_danger()
    }
}

impl ZooKeeper {
    /// Starts to describe a connection. `connect` names the servers, and where everything is kept if not at the root:
    /// `zk1:2181,zk2:2181/payments`. That directory is never made: it must exist.
    pub fn builder(connect: &str) -> Builder {
        Builder::new(connect)
    }

    pub(crate) fn new(servers: Servers, options: Builder) -> Result<Self, Error> {
        Ok(Self {
            dialer: Dialer::new(&servers, options)?,
            known: Mutex::default(),
            closing: watch::Sender::new(false),
        })
    }

    async fn next(&self) -> Result<Arc<dyn Session>, Error> {
        let mut known = self.known.lock().await;
        if let Some(old) = known.connection.take() {
            old.end();
            known.lost = Some(Instant::now());
            self.dialer.lost();
        }
        let mut measured = false;
        loop {
            let granted = known.granted;
            match self.dial(&known).await {
                Ok(dialed) => {
                    known.unheard = false;
                    known.session = Some(dialed.session());
                    known.granted = Some(dialed.timeout());
                    // The client measures silence against the timeout that it was told, so it must be the granted one.
                    if self.dialer.assumed(granted) != dialed.timeout() && !measured {
                        measured = true;
                        continue;
                    }
                    let connection = self.open(dialed);
                    known.connection = Some(connection.clone());
                    return Ok(Arc::new(Line(connection)));
                }
                Err(NotDialed::Expired) if known.session.is_some() => known.session = None,
                Err(NotDialed::Expired) => return Err(self.dialer.unreachable(None)),
                Err(NotDialed::Unheard(error)) => {
                    known.unheard = true;
                    return Err(error);
                }
                Err(NotDialed::Failed(error)) => {
                    known.unheard = false;
                    return Err(error);
                }
            }
        }
    }

    /// One round over the servers, for the session that we had if it may live still.
    ///
    /// A session that is asked for lives on, also where the answer is lost; so a leader that is heard and hears nothing would keep
    /// everybody else waiting for ever. After a while its session is asked for only when a server was heard again.
    async fn dial(&self, known: &Known) -> Result<Dialed, NotDialed> {
        let Known { session, granted, .. } = known;
        if session.is_none() || !known.is_kept_by_asking() {
            return self.dialer.dial(session.clone(), *granted, known.is_in_danger()).await;
        }
        let other = match self.dialer.dial(None, *granted, false).await {
            // That is said of the other one, and nothing of ours.
            Err(NotDialed::Expired) => return Err(NotDialed::Failed(self.dialer.unreachable(None))),
            other => other?,
        };
        match self.dialer.dial(session.clone(), *granted, true).await {
            Err(NotDialed::Expired) => Ok(other),
            outcome => {
                // Nobody needs it; a lost word about that costs a session that expires.
                let other = self.open(other);
                tokio::spawn(async move { other.close().await });
                outcome
            }
        }
    }

    fn open(&self, dialed: Dialed) -> Arc<Connection> {
        let connection = Connection::open(dialed, self.dialer.acl());
        debug!(session = %connection.id(), timeout = ?connection.timeout(), "connected to ZooKeeper");
        connection
    }

    /// Ends the session in ZooKeeper, on a new connection if the old one does not do it.
    async fn bury(&self) {
        let mut known = self.known.lock().await;
        let open = known.connection.take();
        let Some(session) = known.session.take() else { return };
        if let Some(open) = open {
            if timeout(POLITE, open.close()).await == Ok(true) {
                return;
            }
            open.end();
            self.dialer.lost();
        }
        loop {
            match self.dialer.dial(Some(session.clone()), known.granted, true).await {
                Ok(dialed) => {
                    if self.open(dialed).close().await {
                        return;
                    }
                    self.dialer.lost();
                }
                Err(NotDialed::Unheard(_) | NotDialed::Failed(Error::Unreachable { .. })) => {}
                Err(_) => return,
            }
            sleep(CLOSE_PAUSE).await;
        }
    }
}

#[async_trait]
impl Connect for ZooKeeper {
    async fn connect(&self) -> Result<Arc<dyn Session>, Error> {
        if Handle::try_current().is_err() {
            return Err(Error::Invalid("connecting to ZooKeeper needs a tokio runtime".to_owned()));
        }
        let mut closing = self.closing.subscribe();
        tokio::select! {
            biased;
            () = async { drop(closing.wait_for(|closing| *closing).await) } => {
                Err(Error::Invalid("this connection to ZooKeeper was closed: a new one has to be built".to_owned()))
            }
            next = self.next() => next,
        }
    }

    async fn close(&self) {
        self.closing.send_replace(true);
        if timeout(CLOSE_LIMIT, self.bury()).await.is_err() {
            debug!("the session could not be closed in time: it expires");
        }
    }
}

impl Drop for ZooKeeper {
    fn drop(&mut self) {
        if let Some(connection) = self.known.get_mut().connection.take() {
            connection.start_closing();
        }
    }
}

impl fmt::Debug for ZooKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZooKeeper").field("servers", &self.dialer.servers()).finish_non_exhaustive()
    }
}
