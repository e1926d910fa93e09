//! What the tests share.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fmt::Debug;
use std::time::Duration;

use proto::{InstanceId, NodeData, ServiceName};
use registry::{Discovery, Instances, Layout, Native, Registration, Registry, Source, Status, View};
use tokio::sync::watch;
use tokio::time::timeout;
use zk_session::fake::{FakeClient, FakeZk};
use zk_session::{Keeper, SessionId};

/// No state is waited for longer than this; with paused time it passes at once.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The session timeout that a fake grants unless told otherwise.
pub(crate) const T: Duration = Duration::from_secs(4);

/// Where the instances of [`time`] are in the native layout.
pub(crate) const DIR: &str = "/headkeeper/time/instances";

/// A process: its way to the server, what keeps its session, and its registry.
pub(crate) struct Process {
    pub(crate) client: FakeClient,
    pub(crate) keeper: Keeper,
    pub(crate) registry: Registry,
}

impl Process {
    pub(crate) fn start(zk: &FakeZk) -> Self {
        Self::with_layout(zk, Native::default())
    }

    pub(crate) fn with_layout(zk: &FakeZk, layout: impl Layout) -> Self {
        let client = zk.client();
        let keeper = Keeper::start(client.clone());
        let registry = Registry::new(keeper.sessions(), layout);
        Self { client, keeper, registry }
    }

    pub(crate) fn announce(&self, name: &str) -> Registration {
        self.registry.announce_as(&time(), id(name), data(1)).expect("the data is good")
    }

    pub(crate) fn follow(&self) -> Discovery {
        self.registry.follow(&time())
    }

    pub(crate) fn session(&self) -> SessionId {
        self.client.session().expect("it has a session")
    }

    /// As the kernel does when a process dies: its session is left to the server.
    pub(crate) fn kill(&self) {
        self.client.set_reachable(false);
    }
}

pub(crate) fn time() -> ServiceName {
    ServiceName::parse("time").expect("a name")
}

pub(crate) fn id(name: &str) -> InstanceId {
    InstanceId::parse(name).expect("a name")
}

pub(crate) fn data(weight: u32) -> NodeData {
    at(8897).with_weight(weight)
}

pub(crate) fn at(port: u16) -> NodeData {
    NodeData::at(proto::Address::new("127.0.0.1", port).expect("an address"))
}

pub(crate) fn value(weight: u32) -> Vec<u8> {
    proto::encode(&data(weight)).expect("good data")
}

pub(crate) fn path(name: &str) -> String {
    proto::path::join(DIR, name)
}

/// What a node of the native layout says.
pub(crate) fn stored(zk: &FakeZk, path: &str) -> NodeData {
    proto::decode(&zk.get(path).expect("the node is there").data).expect("good data")
}

/// Nodes that others made.
pub(crate) fn others(zk: &FakeZk, names: &[&str]) {
    let owner = zk.stranger();
    for name in names {
        zk.put_ephemeral(&path(name), value(1), owner);
    }
}

/// Waits until `is` says yes to what a channel holds.
pub(crate) async fn until<T: Clone + Debug>(
    rx: &mut watch::Receiver<T>,
    what: &str,
    is: impl Fn(&T) -> bool,
) -> T {
    let found = timeout(LIMIT, rx.wait_for(is)).await.map(|now| now.expect("the sender is there").clone());
    found.unwrap_or_else(|_| panic!("waited in vain until {what}; now {:?}", &*rx.borrow()))
}

/// Waits until the server is in a state.
pub(crate) async fn reached(zk: &FakeZk, what: &str, is: impl Fn(&FakeZk) -> bool) {
    timeout(LIMIT, zk.until(is)).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

/// Watches the server for a time: it must never be in that state.
pub(crate) async fn never(zk: &FakeZk, during: Duration, what: &str, is: impl Fn(&FakeZk) -> bool) {
    assert!(timeout(during, zk.until(is)).await.is_err(), "{what}");
}

pub(crate) async fn registered(registration: &Registration) {
    timeout(LIMIT, registration.registered()).await.expect("registered in time").expect("not replaced");
}

pub(crate) fn owned_by(status: &Status, by: SessionId) -> bool {
    matches!(status, Status::Registered { session, .. } if *session == by)
}

/// The names in a list.
pub(crate) fn names(list: &Instances) -> Vec<&str> {
    list.iter().map(|instance| instance.id.as_str()).collect()
}

/// Waits until callers get exactly these.
pub(crate) async fn lists(discovery: &Discovery, expected: &[&str]) -> Instances {
    let is = |list: &Option<Instances>| list.as_ref().is_some_and(|list| names(list) == expected);
    let what = format!("the list is {expected:?}");
    until(&mut discovery.instances(), &what, is).await.expect("there is a list")
}

/// Waits until the view has exactly these, from this kind of source.
pub(crate) async fn shows(discovery: &Discovery, live: bool, expected: &[&str]) -> View {
    let is = |view: &Option<View>| {
        view.as_ref().is_some_and(|view| {
            names(&view.entries) == expected && matches!(view.source, Source::Live) == live
        })
    };
    let what = format!("the view is {expected:?}, live: {live}");
    until(&mut discovery.view(), &what, is).await.expect("there is a view")
}
