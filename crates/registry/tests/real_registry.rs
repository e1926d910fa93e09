//! The registry on a real ZooKeeper server, through what really happens to servers and connections.

use std::fmt::Debug;
use std::time::Duration;

use proto::{InstanceId, NodeData, ServiceName};
use registry::{Discovery, Flat, Layout, Native, Registration, Registry, Source, Status, View};
use tokio::sync::watch;
use tokio::time::timeout;
use zk_local::{Proxy, Server};
use zk_session::{Keeper, SessionId, ZooKeeper};

/// No state is waited for longer than this; the machine may be busy.
const LIMIT: Duration = Duration::from_secs(60);
const T: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(200);

struct Process {
    keeper: Keeper,
    registry: Registry,
}

impl Process {
    fn start(connect: &str, layout: impl Layout) -> Self {
        Self::with_timeout(connect, layout, T)
    }

    fn with_timeout(connect: &str, layout: impl Layout, timeout: Duration) -> Self {
        let zookeeper =
            ZooKeeper::builder(connect).session_timeout(timeout).build().expect("a good connection");
        let keeper = Keeper::start(zookeeper);
        let registry = Registry::new(keeper.sessions(), layout);
        Self { keeper, registry }
    }

    fn announce(&self, name: &str) -> Registration {
        let id = InstanceId::parse(name).expect("a name");
        self.registry.announce_as(&time(), id, at(8897)).expect("the data is good")
    }

    fn follow(&self) -> Discovery {
        self.registry.follow(&time())
    }
}

async fn server() -> Server {
    Server::builder().tick(TICK).start().await.expect("ZooKeeper is here and starts")
}

fn time() -> ServiceName {
    ServiceName::parse("time").expect("a name")
}

fn at(port: u16) -> NodeData {
    NodeData::at(proto::Address::new("127.0.0.1", port).expect("an address"))
}

async fn until<T: Clone + Debug>(rx: &mut watch::Receiver<T>, what: &str, is: impl Fn(&T) -> bool) -> T {
    let found = timeout(LIMIT, rx.wait_for(is)).await.map(|now| now.expect("the sender is there").clone());
    found.unwrap_or_else(|_| panic!("waited in vain until {what}; now {:?}", &*rx.borrow()))
}

async fn shows(discovery: &Discovery, live: bool, expected: &[&str]) -> View {
    let is = |view: &Option<View>| {
        view.as_ref().is_some_and(|view| {
            view.entries.iter().map(|instance| instance.id.as_str()).eq(expected.iter().copied())
                && (view.source == Source::Live) == live
        })
    };
    until(&mut discovery.view(), &format!("it shows {expected:?}, live: {live}"), is).await.expect("a view")
}

async fn registered(registration: &Registration) -> SessionId {
    let is = |status: &Status| matches!(status, Status::Registered { .. });
    match until(&mut registration.status(), "it is registered", is).await {
        Status::Registered { session, .. } => session,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_instance_and_its_followers_survive_the_crash_of_the_server() {
    let server = server().await;
    // Longer than a busy machine takes to start the server and to connect again.
    let process = || Process::with_timeout(&server.connect_string(), Native::default(), LIMIT);
    let (provider, client) = (process(), process());
    let registration = provider.announce("a");
    let session = registered(&registration).await;
    let discovery = client.follow();
    shows(&discovery, true, &["a"]).await;

    server.kill().await.expect("it dies");
    shows(&discovery, false, &["a"]).await;
    registration.set_weight(7).expect("it can be changed meanwhile");
    server.start_again().await.expect("it starts");

    assert_eq!(registered(&registration).await, session, "the session outlived the server");
    let updated =
        |list: &Option<registry::Instances>| list.as_ref().is_some_and(|list| list[0].data.weight == 7);
    until(&mut discovery.instances(), "the update is here", updated).await;
    shows(&discovery, true, &["a"]).await;

    registration.withdraw().await;
    shows(&discovery, true, &[]).await;
    provider.keeper.close().await;
    client.keeper.close().await;
}

#[tokio::test]
async fn an_instance_that_is_cut_off_for_too_long_goes_and_comes_back_by_itself() {
    let server = server().await;
    let proxy = Proxy::start(server.address()).await.expect("a proxy");
    let provider = Process::start(&proxy.connect_string(), Native::default());
    let client = Process::start(&server.connect_string(), Native::default());
    let registration = provider.announce("a");
    let before = registered(&registration).await;
    let discovery = client.follow();
    shows(&discovery, true, &["a"]).await;

    proxy.refuse(true);
    proxy.cut();
    shows(&discovery, true, &[]).await;
    assert!(matches!(*registration.status().borrow(), Status::Registering { .. }));
    registration.set_weight(0).expect("it can be changed meanwhile");
    proxy.refuse(false);
    let after = registered(&registration).await;
    assert_ne!(after, before);
    let view = shows(&discovery, true, &["a"]).await;
    assert_eq!(view.entries[0].data, registration.data());
}

#[tokio::test]
async fn a_killed_process_and_its_restart_under_the_same_id_leave_no_gap() {
    let server = server().await;
    let proxy = Proxy::start(server.address()).await.expect("a proxy");
    let dead = Process::start(&proxy.connect_string(), Native::default());
    let before = dead.announce("a");
    registered(&before).await;
    let client = Process::start(&server.connect_string(), Native::default());
    let discovery = client.follow();
    shows(&discovery, true, &["a"]).await;
    proxy.refuse(true);
    proxy.cut();

    let provider = Process::start(&server.connect_string(), Native::default());
    let registration = provider.announce("a");
    registered(&registration).await;
    // Longer than the dead session lives.
    let mut lists = discovery.instances();
    let gone = lists.wait_for(|list| list.as_ref().is_some_and(registry::List::is_empty));
    assert!(timeout(2 * T, gone).await.is_err(), "it went with the dead session");

    // The old process comes back, sees who took its place, and stops.
    proxy.refuse(false);
    until(&mut before.status(), "it is replaced", |now| matches!(now, Status::Replaced)).await;
    registered(&registration).await;
}

#[tokio::test]
async fn it_starts_before_zookeeper_does() {
    let server = server().await;
    server.stop().await.expect("it stops");
    let provider = Process::start(&server.connect_string(), Native::default());
    let registration = provider.announce("a");
    let discovery = provider.follow();
    assert!(timeout(T, registration.registered()).await.is_err());
    server.start_again().await.expect("it starts");
    // Two seconds are promised, and measured on the fake; this machine may be busy.
    registered(&registration).await;
    shows(&discovery, true, &["a"]).await;
}

#[tokio::test]
async fn many_are_registered_and_found_in_both_layouts() {
    const MANY: u16 = 1_000;
    let server = server().await;
    for (name, layout) in [
        ("native", std::sync::Arc::new(Native::default()) as std::sync::Arc<dyn Layout>),
        ("flat", std::sync::Arc::new(Flat::default())),
    ] {
        let provider = Process::start(&server.connect_string(), Native::default());
        let registry = Registry::with_layout(provider.keeper.sessions(), layout.clone());
        let all = registry.announce_all(&time(), (1..=MANY).map(at)).expect("all are good");
        for registration in &all {
            timeout(LIMIT, registration.registered()).await.expect("in time").expect("registered");
        }
        let client = Process::start(&server.connect_string(), Native::default());
        let discovery = Registry::with_layout(client.keeper.sessions(), layout).follow(&time());
        let list = timeout(LIMIT, discovery.ready()).await.expect("in time").expect("a list");
        assert_eq!(list.len(), usize::from(MANY), "{name}");
        for registration in &all {
            let found = list.binary_search_by(|instance| instance.id.cmp(registration.id()));
            assert!(found.is_ok(), "{name}: {} is missing", registration.id());
        }
        // The end of the session takes all of them.
        provider.keeper.close().await;
        let empty = |list: &Option<registry::Instances>| list.as_ref().is_some_and(registry::List::is_empty);
        until(&mut discovery.instances(), "all are gone", empty).await;
    }
}
