//! The registry on a real server that was put back to an older state, as from a backup.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::{InstanceId, NodeData, ServiceName};
use registry::{Discovery, Native, Registration, Registry, Source, Status, View};
use tokio::time::{Instant, sleep, timeout};
use zk_local::{Server, Snapshot};
use zk_session::{Connect, Keeper, SessionId, ZooKeeper};

const LIMIT: Duration = Duration::from_secs(60);
const T: Duration = Duration::from_secs(10);

/// The session timeout of those who live on: longer than a busy machine takes to start the server and to connect again.
const LONG: Duration = Duration::from_secs(40);
const DIR: &str = "/headkeeper/time/instances";

struct Process {
    keeper: Keeper,
    registry: Registry,
}

fn process(server: &Server, timeout: Duration) -> Process {
    let zookeeper =
        ZooKeeper::builder(&server.connect_string()).session_timeout(timeout).build().expect("good options");
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

async fn registered(registration: &Registration, is: impl Fn(SessionId) -> bool) -> SessionId {
    let mut status = registration.status();
    let found = status.wait_for(|now| matches!(now, Status::Registered { session, .. } if is(*session)));
    match &*timeout(LIMIT, found).await.expect("registered in time").expect("kept") {
        Status::Registered { session, .. } => *session,
        other => panic!("{other:?}"),
    }
}

/// Waits until callers are told live, without a doubt, that there are exactly these, with these weights.
async fn shows(discovery: &Discovery, what: &str, expected: &[(&str, u32)]) {
    let is = |view: &Option<View>| {
        let listed = |view: &View| {
            let entries = view.entries.iter().map(|entry| (entry.id.as_str(), entry.data.weight));
            entries.eq(expected.iter().copied())
        };
        view.as_ref().is_some_and(|view| view.source == Source::Live && listed(view))
    };
    let mut views = discovery.view();
    let found = timeout(LIMIT, views.wait_for(is)).await.map(|found| found.is_ok());
    assert_eq!(found, Ok(true), "{what}: waited in vain for {expected:?}, now {:?}", *views.borrow());
}

async fn save(server: &Server) -> Snapshot {
    server.stop().await.expect("it stops");
    let saved = server.snapshot_data().await.expect("its data are copied");
    server.start_again().await.expect("it starts");
    saved
}

/// Returns when the older state began to be served.
async fn go_back(server: &Server, saved: &Snapshot) -> Instant {
    server.stop().await.expect("it stops");
    server.restore_data(saved).await.expect("its data are put back");
    server.start_again().await.expect("it starts");
    Instant::now()
}

/// Who owns the node of each instance, by another session than those of the test.
async fn owners(server: &Server) -> BTreeMap<String, Option<SessionId>> {
    let zookeeper = ZooKeeper::builder(&server.connect_string()).session_timeout(LIMIT).build();
    let zookeeper = zookeeper.expect("good options");
    let session = timeout(LIMIT, zookeeper.connect()).await.expect("in time").expect("connected");
    let mut owners = BTreeMap::new();
    for name in session.children(DIR).await.expect("a directory") {
        if let Some(stat) = session.exists(&format!("{DIR}/{name}")).await.expect("an answer") {
            owners.insert(name, stat.owner);
        }
    }
    zookeeper.close().await;
    owners
}

async fn gone(server: &Server, name: &str) {
    let went = async {
        while owners(server).await.contains_key(name) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, went).await.expect("gone in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_rollback_all_who_are_there_are_listed_and_nobody_else() {
    let server = Server::start().await.expect("ZooKeeper is here and starts");
    let (early, old_client) = (process(&server, LONG), process(&server, LONG));
    let a = announce(&early, "a");
    let before = registered(&a, |_| true).await;
    let old_view = old_client.registry.follow(&time());

    for weight in [10, 20, 30] {
        let leaving = process(&server, T);
        let c = announce(&leaving, "c");
        registered(&c, |_| true).await;
        let saved = save(&server).await;
        // What the older state does not know: a change, one who left, a newcomer and one who follows.
        a.set_weight(weight).expect("good data");
        leaving.keeper.close().await;
        let (late, new_client) = (process(&server, T), process(&server, T));
        let b = announce(&late, "b");
        let lost = registered(&b, |_| true).await;
        let new_view = new_client.registry.follow(&time());
        let there = [("a", weight), ("b", 1)];
        shows(&old_view, "before", &there).await;
        shows(&new_view, "before", &there).await;

        let back = go_back(&server, &saved).await;
        let again = registered(&b, |session| session != lost).await;
        let registered_after = back.elapsed();
        // The node of the one who left is back, and goes with its session, which nobody keeps.
        gone(&server, "c").await;
        shows(&old_view, "to one who was there before", &there).await;
        shows(&new_view, "to one who came later", &there).await;
        let shown_after = back.elapsed();
        eprintln!(
            "after a rollback: the newcomer registered in {registered_after:?}, all listed in {shown_after:?}"
        );
        assert_eq!(registered(&a, |_| true).await, before, "a session that the older state knows goes on");
        let owned = [("a".to_owned(), Some(before)), ("b".to_owned(), Some(again))];
        assert_eq!(owners(&server).await, BTreeMap::from(owned));

        b.withdraw().await;
        shows(&old_view, "without the newcomer", &there[..1]).await;
        late.keeper.close().await;
        new_client.keeper.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_was_withdrawn_and_is_back_in_an_older_state_goes_though_its_process_lives() {
    let server = Server::start().await.expect("ZooKeeper is here and starts");
    let (early, client) = (process(&server, LONG), process(&server, LONG));
    let (a, b) = (announce(&early, "a"), announce(&early, "b"));
    let before = registered(&a, |_| true).await;
    registered(&b, |_| true).await;
    let view = client.registry.follow(&time());
    let saved = save(&server).await;
    registered(&a, |_| true).await;
    timeout(LIMIT, b.withdraw()).await.expect("withdrawn in time");
    shows(&view, "before", &[("a", 1)]).await;
    for _ in 0..3 {
        let back = go_back(&server, &saved).await;
        gone(&server, "b").await;
        shows(&view, "after", &[("a", 1)]).await;
        let took = back.elapsed();
        eprintln!("after a rollback: the withdrawn one was gone, and listed no more, after {took:?}");
        assert_eq!(registered(&a, |_| true).await, before, "a session that the older state knows goes on");
        assert_eq!(owners(&server).await, BTreeMap::from([("a".to_owned(), Some(before))]));
    }
}
