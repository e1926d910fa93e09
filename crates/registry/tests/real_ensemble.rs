//! What must hold when servers of an ensemble go and come back.

use std::sync::Arc;
use std::time::Duration;

use proto::{InstanceId, NodeData, ServiceName};
use registry::{Discovery, Native, Registration, Registry, Source, Status, View};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use zk_local::{Ensemble, Server};
use zk_session::{Connect, Keeper, SessionId, State, ZooKeeper};

const LIMIT: Duration = Duration::from_secs(60);
const SESSION: Duration = Duration::from_secs(6);

/// Of a session that is to live through all that is done, also where starting servers takes its time.
const LONG: Duration = Duration::from_secs(30);

struct Process {
    keeper: Keeper,
    registry: Registry,
}

fn process(servers: &str, session: Duration) -> Process {
    let zookeeper = ZooKeeper::builder(servers).session_timeout(session).build().expect("good options");
    let keeper = Keeper::start(zookeeper);
    let registry = Registry::new(keeper.sessions(), Native::default());
    Process { keeper, registry }
}

fn time() -> ServiceName {
    ServiceName::parse("time").expect("a name")
}

fn announce(process: &Process, name: &str) -> Registration {
    let data = NodeData::at("127.0.0.1:8897".parse().expect("an address"));
    process.registry.announce_as(&time(), InstanceId::parse(name).expect("a name"), data).expect("good data")
}

async fn registered(registration: &Registration) -> SessionId {
    let mut status = registration.status();
    let now = timeout(LIMIT, status.wait_for(|now| matches!(now, Status::Registered { .. })));
    match &*now.await.expect("registered in time").expect("kept") {
        Status::Registered { session, .. } => *session,
        other => panic!("{other:?}"),
    }
}

async fn shows(discovery: &Discovery, what: &str, expected: &[&str]) {
    let is = |view: &Option<View>| {
        view.as_ref().is_some_and(|view| {
            view.source == Source::Live
                && view.entries.iter().map(|entry| entry.id.as_str()).eq(expected.iter().copied())
        })
    };
    let mut views = discovery.view();
    let found = timeout(LIMIT, views.wait_for(is)).await.map(|found| found.is_ok());
    assert_eq!(found, Ok(true), "{what}: waited in vain for {expected:?}, now {:?}", *views.borrow());
}

/// Everything that callers got, from now on.
fn sizes(discovery: &Discovery) -> mpsc::UnboundedReceiver<usize> {
    let (seen, sizes) = mpsc::unbounded_channel();
    let mut lists = discovery.instances();
    tokio::spawn(async move {
        while lists.changed().await.is_ok() {
            let size = lists.borrow_and_update().as_ref().map_or(0, registry::List::len);
            if seen.send(size).is_err() {
                return;
            }
        }
    });
    sizes
}

async fn state(process: &Process, what: &str, is: impl Fn(&State) -> bool) {
    let mut states = process.keeper.sessions().state();
    timeout(LIMIT, states.wait_for(|now| is(now)))
        .await
        .unwrap_or_else(|_| panic!("waited in vain: {what}"))
        .expect("kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_and_a_killed_leader_cost_nobody_the_session() {
    let settings = Server::builder().tick(Duration::from_millis(500));
    let ensemble = Ensemble::builder(3).servers(settings).start().await.unwrap();
    let process = || process(&ensemble.connect_string(), LONG);
    let (server, client) = (process(), process());
    let (one, two) = (announce(&server, "one"), announce(&server, "two"));
    let session = registered(&one).await;
    assert_eq!(registered(&two).await, session);
    let discovery = client.registry.follow(&time());
    shows(&discovery, "at first", &["one", "two"]).await;
    let mut sizes = sizes(&discovery);

    for index in 0..3 {
        ensemble.server(index).restart().await.unwrap();
        state(&server, "connected again", |now| matches!(now, State::Connected { .. })).await;
        shows(&discovery, "after a restart", &["one", "two"]).await;
    }
    let leader = ensemble.leader().await.unwrap();
    ensemble.server(leader).kill().await.unwrap();
    // Something written after the kill has gone through the new leader.
    let three = announce(&server, "three");
    registered(&three).await;
    shows(&discovery, "without the old leader", &["one", "three", "two"]).await;

    assert_eq!(registered(&one).await, session, "the session lived through all of it");
    while let Ok(size) = sizes.try_recv() {
        assert!(size >= 2, "a list shrank to {size}");
    }
    server.keeper.close().await;
    client.keeper.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_the_last_list_stays_and_all_is_well_when_it_is_back() {
    let settings = Server::builder().tick(Duration::from_millis(500));
    let ensemble = Ensemble::builder(3).servers(settings).start().await.unwrap();
    let process = || process(&ensemble.connect_string(), SESSION);
    let (server, client) = (process(), process());
    let one = announce(&server, "one");
    registered(&one).await;
    let discovery = client.registry.follow(&time());
    shows(&discovery, "at first", &["one"]).await;

    for index in [0, 1] {
        ensemble.server(index).kill().await.unwrap();
    }
    let mut views = discovery.view();
    let stale =
        |view: &Option<View>| view.as_ref().is_some_and(|view| matches!(view.source, Source::Stale { .. }));
    let view = timeout(LIMIT, views.wait_for(stale)).await.expect("stale in time").expect("kept").clone();
    assert_eq!(view.expect("a view").entries.len(), 1);
    // Longer than the sessions could last without an ensemble that keeps them.
    tokio::time::sleep(2 * SESSION).await;
    assert_eq!(views.borrow().as_ref().map(|view| view.entries.len()), Some(1));

    ensemble.start_again().await.unwrap();
    registered(&one).await;
    shows(&discovery, "with a quorum again", &["one"]).await;
    one.withdraw().await;
    shows(&discovery, "withdrawn", &[]).await;
}

/// What is said of a chroot that is not there.
const MISSING: &str = "the chroot /payments of the connect string does not exist: make it once, by `create /payments` in zkCli.sh";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chroot_keeps_everything_below_it() {
    let server = Server::start().await.unwrap();
    let outside = ZooKeeper::builder(&server.connect_string()).session_timeout(LONG).build().unwrap();
    let session = outside.connect().await.unwrap();
    let inside = process(&format!("{}/payments", server.connect_string()), LONG);
    let one = announce(&inside, "one");
    let mut status: watch::Receiver<Status> = one.status();
    let told = |now: &Status| matches!(now, Status::Registering { problem: Some(_) });
    let now = timeout(LIMIT, status.wait_for(told)).await.expect("told in time").expect("kept").clone();
    assert!(format!("{now:?}").contains(MISSING), "{now:?}");

    let discovery = inside.registry.follow(&time());
    let mut problem = discovery.problem();
    let now =
        timeout(LIMIT, problem.wait_for(Option::is_some)).await.expect("told in time").expect("kept").clone();
    assert!(format!("{now:?}").contains(MISSING), "{now:?}");
    assert!(discovery.view().borrow().is_none(), "a slip of the pen is no empty service");
    let services = timeout(LIMIT, inside.registry.services()).await.expect("answered in time");
    assert!(format!("{services:?}").contains(MISSING), "{services:?}");

    session.create("/payments", b"", zk_session::Kind::Persistent).await.unwrap();
    registered(&one).await;
    let path = "/payments/headkeeper/time/instances/one";
    assert!(session.exists(path).await.unwrap().is_some());
    shows(&discovery, "inside", &["one"]).await;
    one.withdraw().await;
    assert!(session.exists(path).await.unwrap().is_none());
    let _: Arc<dyn zk_session::Session> = session;
}
