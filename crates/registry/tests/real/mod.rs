//! What the tests on a real server share.

#![allow(dead_code, clippy::unwrap_used, reason = "helpers of tests, of which each file uses a part")]

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use proto::{InstanceId, NodeData, ServiceName};
use registry::{Discovery, Native, Options, Registration, Registry, Source, Status, View};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use zk_local::Server;
use zk_session::{Change, Changes, Connect, Error, Keeper, Kind, Op, Session, SessionId, State, ZooKeeper};

/// No state is waited for longer than this; the machine may be busy.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The session timeout of processes whose sessions are to end, which the server grants: a machine that stands still for a few seconds ends none.
pub(crate) const T: Duration = Duration::from_secs(5);

pub(crate) const TICK: Duration = Duration::from_millis(200);

/// The session timeout of who only looks: nothing ends it, and no silence is noticed. What happens after a part of it does not happen while
/// anything is waited for here.
pub(crate) const CALM: Duration = Duration::from_secs(600);

/// Where the instances of [`time`] are.
pub(crate) const DIR: &str = "/headkeeper/time/instances";

pub(crate) async fn server() -> Server {
    let server = Server::builder().tick(TICK).max_session(CALM);
    server.start().await.expect("ZooKeeper is here and starts")
}

pub(crate) struct Process {
    pub(crate) keeper: Keeper,
    pub(crate) registry: Registry,
}

impl Process {
    pub(crate) fn start(connect: &str) -> Self {
        Self::with_timeout(connect, T)
    }

    /// Its connection does not end only because the machine is busy.
    pub(crate) fn calm(connect: &str) -> Self {
        Self::with_timeout(connect, CALM)
    }

    fn with_timeout(connect: &str, timeout: Duration) -> Self {
        let zookeeper =
            ZooKeeper::builder(connect).session_timeout(timeout).build().expect("a good connection");
        let keeper = Keeper::start(zookeeper);
        let registry = Registry::new(keeper.sessions(), Native::default());
        Self { keeper, registry }
    }

    pub(crate) fn announce(&self, name: &str) -> Registration {
        let id = InstanceId::parse(name).expect("a name");
        self.registry.announce_as(&time(), id, at(8897)).expect("the data is good")
    }

    pub(crate) fn follow(&self) -> Discovery {
        self.registry.follow(&time())
    }

    pub(crate) fn follow_at_most(&self, max_entries: usize) -> Discovery {
        self.registry.follow_with(&time(), Options { max_entries, ..Options::default() })
    }

    /// Waits until it is connected, to another session than that one if there is one.
    pub(crate) async fn connected(&self, other_than: Option<SessionId>) -> SessionId {
        let is = |now: &State| matches!(now, State::Connected { id, .. } if Some(*id) != other_than);
        match until(&mut self.keeper.sessions().state(), "it is connected", is).await {
            State::Connected { id, .. } => id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn cut_off(&self) {
        let is = |now: &State| !matches!(now, State::Connected { .. });
        until(&mut self.keeper.sessions().state(), "it is cut off", is).await;
    }
}

/// A session of nobody's, that sees what is there.
pub(crate) struct Truth {
    pub(crate) session: Arc<dyn Session>,
    _zookeeper: ZooKeeper,
}

impl Truth {
    pub(crate) async fn of(server: &Server) -> Self {
        let zookeeper = ZooKeeper::builder(&server.connect_string()).session_timeout(CALM).build().unwrap();
        Self { session: timeout(LIMIT, zookeeper.connect()).await.unwrap().unwrap(), _zookeeper: zookeeper }
    }

    /// Makes the directory of the instances.
    pub(crate) async fn directory(&self) {
        for directory in ["/headkeeper", "/headkeeper/time", DIR] {
            match self.session.create(directory, b"", Kind::Persistent).await {
                Ok(_) | Err(Error::NodeExists) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) async fn put(&self, name: &str, weight: u32) {
        self.session.create(&path(name), &value(weight), Kind::Persistent).await.unwrap();
    }

    pub(crate) async fn remove(&self, names: &[&str]) {
        let ops = names.iter().map(|name| Op::Delete { path: path(name), version: None });
        self.session.commit(&ops.collect::<Vec<_>>()).await.unwrap();
    }

    /// Waits until there is no such instance.
    pub(crate) async fn gone(&self, name: &str) {
        let gone = async {
            while self.session.exists(&path(name)).await.unwrap().is_some() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, gone).await.expect("it goes");
    }
}

/// What was told of the tree up to now.
pub(crate) fn told(changes: &mut Changes) -> Vec<Change> {
    std::iter::from_fn(|| changes.try_next()).collect()
}

pub(crate) fn time() -> ServiceName {
    ServiceName::parse("time").expect("a name")
}

pub(crate) fn at(port: u16) -> NodeData {
    NodeData::at(proto::Address::new("127.0.0.1", port).expect("an address"))
}

pub(crate) fn value(weight: u32) -> Vec<u8> {
    proto::encode(&at(8897).with_weight(weight)).expect("good data")
}

pub(crate) fn path(name: &str) -> String {
    proto::path::join(DIR, name)
}

pub(crate) async fn until<T: Clone + Debug>(
    rx: &mut watch::Receiver<T>,
    what: &str,
    is: impl Fn(&T) -> bool,
) -> T {
    let found = timeout(LIMIT, rx.wait_for(is)).await.map(|now| now.expect("the sender is there").clone());
    found.unwrap_or_else(|_| panic!("waited in vain until {what}; now {:?}", &*rx.borrow()))
}

pub(crate) fn names(view: &View) -> Vec<&str> {
    view.entries.iter().map(|instance| instance.id.as_str()).collect()
}

/// Waits until the view has exactly these, from this kind of source.
pub(crate) async fn shows(discovery: &Discovery, live: bool, expected: &[&str]) -> View {
    let is = |view: &Option<View>| {
        view.as_ref().is_some_and(|view| names(view) == expected && (view.source == Source::Live) == live)
    };
    until(&mut discovery.view(), &format!("it shows {expected:?}, live: {live}"), is).await.expect("a view")
}

pub(crate) async fn registered(registration: &Registration) -> SessionId {
    let is = |status: &Status| matches!(status, Status::Registered { .. });
    match until(&mut registration.status(), "it is registered", is).await {
        Status::Registered { session, .. } => session,
        other => panic!("{other:?}"),
    }
}
