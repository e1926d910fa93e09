//! Serves a router, and keeps it in the list while it is ready.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use registry::{Error, Registration, Status};
use tokio::join;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::connections::Connections;
use super::listed::{Announce, Listed};
use super::readiness::{Asked, Probe, Readiness};

/// A server that is in the list of its service while it is ready, and leaves in order.
///
/// ```text
///   not announced ──ready──► announced ◄──ready── drained
///                                │ ▲                 ▲
///                                │ └────not ready────┘
///                              stop
///                                ▼
///   mark: weight 0 ──► wait until clients heard ──► withdraw, refuse connections, finish requests
/// ```
///
/// It listens and answers all the time, so that whoever looks whether it is ready can ask it. It is announced when it is ready
/// for the first time. Not ready any more, it stays in the list with a weight of 0, where operators see it, and has its weight again as soon as it is
/// ready again. A layout that stores no weights has it withdrawn instead.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use adapters::axum::Server;
/// use axum::{Router, routing::get};
/// use proto::{NodeData, ServiceName};
/// use registry::{Native, Registry};
/// use zk_session::{Keeper, fake::FakeZk};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let zk = FakeZk::default(); // or zk_session::ZooKeeper
/// let keeper = Keeper::start(zk.client());
/// let registry = Registry::new(keeper.sessions(), Native::default());
/// let time = ServiceName::parse("time")?;
///
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let here = NodeData::at(listener.local_addr()?.to_string().parse()?);
/// let router = Router::new().route("/time", get(async || "noon"));
/// # let discovery = registry.follow(&time);
/// # let mut lists = discovery.instances();
/// let stop = async { // ctrl_c(), for example
/// #   let _ = lists.wait_for(|list| list.iter().any(|list| list.len() == 1)).await;
/// };
///
/// let server = Server::new(move || registry.announce(&time, here.clone())).heard(Duration::from_millis(100));
/// let ended = server.serve(listener, router, stop).await?;
/// assert_eq!(ended.cut, 0);
/// keeper.close().await;
/// # Ok(())
/// # }
/// ```
pub struct Server {
    announce: Announce,
    readiness: Readiness,
    heard: Duration,
    finish: Duration,
    told: Option<watch::Sender<Status>>,
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// How many connections were cut off, because their requests took longer than they were given.
    pub cut: usize,
}

impl Server {
    /// A server that is announced by this, when it is ready: by `Registry::announce` or `announce_as`. Where the layout stores no weights, this
    /// happens again each time it is ready again.
    pub fn new(announce: impl FnMut() -> Result<Registration, Error> + Send + 'static) -> Self {
        Self {
            announce: Box::new(announce),
            readiness: Readiness::Always,
            heard: Duration::from_secs(2),
            finish: Duration::from_secs(10),
            told: None,
        }
    }

    /// Is ready when it is told so. Once the sender is gone, what it said last stays true. Without this it is ready at once, and always.
    #[must_use]
    pub fn ready(self, told: watch::Receiver<bool>) -> Self {
        Self { readiness: Readiness::Told(told), ..self }
    }

    /// Is ready when this says so, which is asked so often, every millisecond at most; an answer that takes as long as that means no.
    #[must_use]
    pub fn probe<F>(self, every: Duration, mut probe: impl FnMut() -> F + Send + 'static) -> Self
    where
        F: Future<Output = bool> + Send + 'static,
    {
        let probe: Probe = Box::new(move || Box::pin(probe()));
        Self { readiness: Readiness::Asked(Asked::new(every, probe)), ..self }
    }

    /// Tells how it stands in the list, as [`Registration::status`] does: not registered yet and why, registered, replaced for good by a newer
    /// process of the same id, withdrawn. It serves on in each of these, also replaced: to end then is for whoever reads this.
    ///
    /// ```
    /// # use adapters::axum::Server;
    /// # use registry::Status;
    /// # fn example(server: Server) {
    /// let (told, mut status) = tokio::sync::watch::channel(Status::Registering { problem: None });
    /// let server = server.told(told);
    /// let stop = async move {
    ///     let _ = status.wait_for(|now| matches!(now, Status::Replaced)).await; // or ctrl_c(), in a select!
    /// };
    /// # drop((server, stop));
    /// # }
    /// ```
    #[must_use]
    pub fn told(self, told: watch::Sender<Status>) -> Self {
        Self { told: Some(told), ..self }
    }

    /// How long it goes on to serve as always once its weight is 0, until clients have heard. Default: 2 s. A client hears within
    /// milliseconds of ZooKeeper's having written it; the rest is for those that open their next connection to ZooKeeper at
    /// that moment, which takes them up to a second, and for machines that are busy.
    #[must_use]
    pub fn heard(self, heard: Duration) -> Self {
        Self { heard, ..self }
    }

    /// How long requests that run may take to their end once no more are accepted. Default: 10 s. Connections that were upgraded
    /// (WebSockets) are not waited for.
    ///
    /// To leave takes as long as [`heard`](Self::heard) and this together, or 2 s after `heard` if ZooKeeper does not answer and that is longer: with the
    /// defaults 12 s at most. Give the process as long before it is killed: Docker gives 10 s unless `stop_grace_period` or
    /// `--stop-timeout` say more, Kubernetes 30 s.
    #[must_use]
    pub fn finish(self, finish: Duration) -> Self {
        Self { finish, ..self }
    }

    /// Serves until `stop` is ready, and then leaves: its weight is 0 first, then it waits until clients have heard, then it is withdrawn and accepts no
    /// more connections, and finishes what runs. Handlers can extract the client's address by `ConnectInfo<SocketAddr>`.
    ///
    /// A client has 30 s to begin, and 30 s for the head of each request of HTTP/1.1, which count from the answer before it: a connection without
    /// a request is closed then. Over HTTP/2 it is kept for as long as the client likes, and how many connections there are is not bounded: a server that strangers reach has something in front of it that does.
    ///
    /// That ZooKeeper is away ends nothing, and neither does a newer process that has taken its place in the list: [`told`](Self::told). Clients have their time to
    /// [hear](Self::heard) of that one, too, from when it was there.
    ///
    /// # Errors
    ///
    /// When it cannot be announced, because its data are not valid or its id is announced already; requests that run are finished first.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it ends at once: its connections are cut, and it is withdrawn in the background.
    pub async fn serve(
        self,
        listener: TcpListener,
        router: Router,
        stop: impl Future<Output = ()>,
    ) -> Result<Ended, Error> {
        let Self { announce, mut readiness, heard, finish, told } = self;
        let mut connections = Connections::new(router);
        let mut listed = Listed::new(announce, told);
        let lifetime = async {
            let outcome = tokio::select! {
                () = stop => Ok(()),
                error = follow(&mut listed, &mut readiness) => Err(error),
            };
            listed.be_heard(heard).await;
            outcome
        };
        let outcome = tokio::select! {
            outcome = lifetime => outcome,
            () = connections.accept(&listener) => Ok(()),
        };
        drop(listener);
        let ((), cut) = join!(listed.leave(), connections.finish(finish));
        outcome.map(|()| Ended { cut })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { heard, finish, .. } = self;
        f.debug_struct("Server").field("heard", heard).field("finish", finish).finish_non_exhaustive()
    }
}

/// Is in the list while it is ready. Gives why it cannot be.
async fn follow(listed: &mut Listed, readiness: &mut Readiness) -> Error {
    let mut ready = false;
    loop {
        ready = {
            let mut other = pin!(readiness.other_than(ready));
            loop {
                tokio::select! {
                    now = &mut other => break now,
                    () = listed.tell_changes() => {}
                }
            }
        };
        if !ready {
            listed.step_back().await;
        } else if let Err(error) = listed.enter() {
            return error;
        }
    }
}
