//! The faults that only a fake can cause, with paused time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join3;
use tokio::time::{Instant, advance, sleep, timeout};
use zk_session::fake::{FakeClient, FakeZk};
use zk_session::{Change, Connect, Error, Kind, Op, Session, SessionId, What};

const T: Duration = Duration::from_secs(4);
const MOMENT: Duration = Duration::from_millis(1);

async fn connected(zk: &FakeZk) -> (FakeClient, Arc<dyn Session>) {
    let client = zk.client();
    let session = client.connect().await.unwrap();
    (client, session)
}

/// A server with an ephemeral node `/n` of the one client there is.
async fn with_node() -> (FakeZk, FakeClient, Arc<dyn Session>) {
    let zk = FakeZk::default();
    let (client, session) = connected(&zk).await;
    session.create("/n", b"", Kind::Ephemeral).await.unwrap();
    (zk, client, session)
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), what).await.expect("it should have come by now")
}

fn is_unreachable<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Unreachable { .. }))
}

#[tokio::test(start_paused = true)]
async fn a_session_expires_by_itself_after_its_timeout_and_not_before() {
    let (zk, _client, session) = with_node().await;
    zk.disconnect(session.id());
    let since = Instant::now();
    sleep(T - MOMENT).await;
    assert_eq!(zk.owner("/n"), Some(session.id()));
    // Nobody looks at the server, and yet it tells those who watch.
    soon(zk.until(|zk| zk.get("/n").is_none())).await;
    assert!(since.elapsed() >= T && since.elapsed() < T + 5 * MOMENT, "{:?}", since.elapsed());
    assert_eq!(zk.sessions(), []);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_in_time_keeps_its_session_for_good() {
    let (zk, client, session) = with_node().await;
    for _ in 0..3 {
        zk.disconnect(session.id());
        assert!(!zk.is_connected(session.id()));
        sleep(T - MOMENT).await;
        assert_eq!(client.connect().await.unwrap().id(), session.id());
        assert!(zk.is_connected(session.id()));
    }
    sleep(10 * T).await;
    assert_eq!(client.session(), Some(session.id()));
}

#[tokio::test(start_paused = true)]
async fn the_granted_timeout_can_be_chosen() {
    let zk = FakeZk::with_timeout(Duration::from_secs(1));
    let (_client, session) = connected(&zk).await;
    assert_eq!(session.timeout(), Duration::from_secs(1));
    zk.disconnect(session.id());
    advance(Duration::from_secs(1)).await;
    assert_eq!(zk.sessions(), []);
}

#[tokio::test(start_paused = true)]
async fn an_expired_session_is_gone_at_once_and_says_nothing_more() {
    let (zk, client, session) = with_node().await;
    let (_watcher, watching) = connected(&zk).await;
    let mut own = session.watch_tree("/").await.unwrap();
    let mut others = watching.watch_tree("/").await.unwrap();
    zk.expire(session.id());
    assert_eq!(zk.get("/n"), None);
    assert_eq!(others.try_next(), Some(Change { path: "/n".to_owned(), what: What::Deleted }));
    assert_eq!(soon(own.next()).await, None);
    soon(session.ended()).await;
    assert_ne!(client.connect().await.unwrap().id(), session.id());
}

#[tokio::test(start_paused = true)]
async fn sessions_expire_while_nobody_can_reach_the_server() {
    let (zk, client, session) = with_node().await;
    zk.set_reachable(false);
    soon(session.ended()).await;
    assert!(is_unreachable(&client.connect().await));
    advance(T).await;
    zk.set_reachable(true);
    assert_eq!(zk.get("/n"), None);
    assert_ne!(client.connect().await.unwrap().id(), session.id());
}

#[tokio::test(start_paused = true)]
async fn one_client_can_be_cut_off_alone() {
    let (zk, client, session) = with_node().await;
    let (_other, well) = connected(&zk).await;
    client.set_reachable(false);
    soon(session.ended()).await;
    assert!(is_unreachable(&client.connect().await));
    assert!(well.get("/n").await.unwrap().is_some());
    client.set_reachable(true);
    assert_eq!(client.connect().await.unwrap().id(), session.id());
}

#[tokio::test(start_paused = true)]
async fn no_session_expires_while_the_server_is_down_and_each_has_its_whole_timeout_after() {
    let (zk, client, session) = with_node().await;
    zk.disconnect(session.id());
    advance(T - MOMENT).await;
    zk.stop();
    assert!(is_unreachable(&client.connect().await));
    advance(100 * T).await;
    zk.start();
    advance(T - MOMENT).await;
    assert_eq!(zk.owner("/n"), Some(session.id()));
    advance(MOMENT).await;
    assert_eq!(zk.get("/n"), None);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_belongs_to_a_done_write_and_a_dropped_request_to_none() {
    let zk = FakeZk::default();
    let (client, session) = connected(&zk).await;
    zk.lose_next_reply();
    zk.drop_next_request();
    // Reads are well.
    assert_eq!(session.get("/a").await.unwrap(), None);
    assert!(matches!(session.create("/a", b"", Kind::Persistent).await, Err(Error::Interrupted)));
    soon(session.ended()).await;
    assert!(zk.get("/a").is_some());

    let session = client.connect().await.unwrap();
    assert!(matches!(session.create("/b", b"", Kind::Persistent).await, Err(Error::Interrupted)));
    soon(session.ended()).await;
    assert_eq!(zk.get("/b"), None);

    let session = client.connect().await.unwrap();
    session.create("/b", b"", Kind::Persistent).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_fault_can_be_meant_for_one_session() {
    let zk = FakeZk::default();
    let ((a, first), (_b, second)) = (connected(&zk).await, connected(&zk).await);
    zk.drop_next_request_of(first.id());
    zk.lose_next_reply_of(first.id());
    second.create("/second", b"", Kind::Persistent).await.unwrap();
    assert!(matches!(first.create("/first", b"", Kind::Persistent).await, Err(Error::Interrupted)));
    assert_eq!(zk.get("/first"), None);
    // The next one is for the next write, on whatever connection.
    let again = a.connect().await.unwrap();
    assert!(matches!(again.create("/first", b"", Kind::Persistent).await, Err(Error::Interrupted)));
    assert!(zk.get("/first").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_frozen_server_does_what_it_was_asked_when_it_wakes() {
    let (zk, _client, session) = with_node().await;
    zk.set_mute(true);
    let asked = session.create("/later", b"", Kind::Persistent);
    let thawed = async {
        sleep(10 * T).await;
        assert_eq!(zk.get("/later"), None);
        assert_eq!(zk.owner("/n"), Some(session.id()));
        zk.set_mute(false);
    };
    let (made, ()) = soon(async { tokio::join!(asked, thawed) }).await;
    made.unwrap();
    assert!(session.ended().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_frozen_server_lets_nobody_connect_or_close() {
    let (zk, client, session) = with_node().await;
    zk.set_mute(true);
    let since = Instant::now();
    assert!(is_unreachable(&zk.client().connect().await));
    assert!(since.elapsed() >= T);

    let since = Instant::now();
    client.close().await;
    assert!(since.elapsed() <= Duration::from_secs(2) + MOMENT);
    soon(session.ended()).await;
    zk.set_mute(false);
    soon(zk.until(|zk| zk.get("/n").is_none())).await;
}

#[tokio::test(start_paused = true)]
async fn a_half_open_connection_stays_while_its_session_expires() {
    let (zk, client, session) = with_node().await;
    let (_other, well) = connected(&zk).await;
    zk.mute(session.id());
    assert!(timeout(T - MOMENT, session.get("/n")).await.is_err());
    assert!(well.get("/n").await.unwrap().is_some());
    sleep(2 * MOMENT).await;
    assert_eq!(well.get("/n").await.unwrap(), None);
    assert!(session.ended().now_or_never().is_none());
    assert_ne!(client.connect().await.unwrap().id(), session.id());
}

#[tokio::test(start_paused = true)]
async fn a_mended_connection_delivers_what_was_sent() {
    let (zk, _client, session) = with_node().await;
    zk.mute(session.id());
    let mended = async {
        sleep(T - MOMENT).await;
        zk.unmute(session.id());
    };
    let (made, ()) = tokio::join!(session.create("/later", b"", Kind::Persistent), mended);
    made.unwrap();
    sleep(2 * T).await;
    assert_eq!(zk.owner("/n"), Some(session.id()));

    zk.mute(session.id());
    sleep(T).await;
    zk.unmute(session.id());
    soon(session.ended()).await;
}

#[tokio::test(start_paused = true)]
async fn held_watches_come_in_order_once_they_are_let_go() {
    let (zk, _client, session) = with_node().await;
    let mut told = session.watch_tree("/").await.unwrap();
    let (_, mut changed) = session.watch_node("/n").await.unwrap();
    zk.hold_watches(true);
    zk.put("/n", "1");
    zk.put("/m", "2");
    assert_eq!(session.get("/m").await.unwrap().unwrap().data, b"2");
    assert_eq!(told.try_next(), None);
    assert!((&mut changed).now_or_never().is_none());

    zk.hold_watches(false);
    soon(changed).await;
    let told: Vec<_> =
        std::iter::from_fn(|| told.try_next()).map(|change| (change.path, change.what)).collect();
    assert_eq!(told, [("/n".to_owned(), What::Changed), ("/m".to_owned(), What::Created)]);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_of_a_node_can_be_held_back_and_events_come_meanwhile() {
    let (zk, client, session) = with_node().await;
    let mut told = session.watch_tree("/").await.unwrap();
    zk.put("/n", "1");
    zk.hold_reads("/n", true);
    let paths = ["/".to_owned(), "/n".to_owned()];
    let mut reads =
        std::pin::pin!(join3(session.get("/n"), session.get_many(&paths), session.children("/n")));
    assert!(timeout(T, &mut reads).await.is_err());
    assert!(session.get("/").await.unwrap().is_some(), "others are answered");
    assert!(session.exists("/n").await.unwrap().is_some(), "and what is in no answer does not matter");
    zk.put("/n", "2");
    assert_eq!(zk.events_waiting(), 2);
    assert!(told.try_next().is_some() && told.try_next().is_some());
    assert_eq!(zk.events_waiting(), 0);
    zk.hold_reads("/n", false);
    let (one, many, children) = soon(reads).await;
    assert_eq!(one.unwrap().unwrap().data, b"1");
    assert_eq!(many.unwrap().pop().unwrap().unwrap().unwrap().data, b"1");
    assert!(children.unwrap().is_empty());

    zk.hold_reads("/n", true);
    let mut read = std::pin::pin!(session.get("/n"));
    assert!(timeout(MOMENT, &mut read).await.is_err());
    zk.disconnect(session.id());
    assert!(matches!(soon(read).await, Err(Error::Interrupted)));
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn held_watches_go_down_with_their_connection() {
    let (zk, _client, session) = with_node().await;
    let mut told = session.watch_tree("/").await.unwrap();
    let (_, changed) = session.watch_node("/n").await.unwrap();
    zk.hold_watches(true);
    zk.put("/n", "1");
    zk.disconnect(session.id());
    assert_eq!(soon(told.next()).await, None);
    soon(changed).await;
    zk.hold_watches(false);
}

#[tokio::test(start_paused = true)]
async fn refused_writes_say_what_is_not_allowed_and_do_nothing() {
    let (zk, _client, session) = with_node().await;
    zk.put("/a/b", "");
    zk.refuse("/a", true);
    let what = |answer: Error| match answer {
        Error::Rejected { what } => what,
        other => panic!("{other:?}"),
    };
    let made = session.create("/a/c", b"", Kind::Persistent).await.unwrap_err();
    assert_eq!(what(made), "not authorized to create /a/c");
    assert!(what(session.set("/a/b", b"", None).await.unwrap_err()).contains("/a/b"));
    assert!(what(session.delete("/a/b", None).await.unwrap_err()).contains("/a/b"));
    let op = Op::Set { path: "/a".to_owned(), data: Vec::new(), version: None };
    let Err(Error::Aborted { index: 0, source }) = session.commit(&[op]).await else { panic!("done") };
    assert!(what(*source).contains("/a"));
    // Reads, other paths and the test itself are free.
    assert!(session.get("/a/b").await.unwrap().is_some());
    session.create("/ab", b"", Kind::Persistent).await.unwrap();
    zk.put("/a/b", "by hand");

    zk.refuse("/a", false);
    session.set("/a/b", b"", None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn refused_reads_harm_only_what_is_refused() {
    let (zk, _client, session) = with_node().await;
    zk.put("/a/secret", "");
    zk.put("/a/open", "yes");
    zk.refuse_reads("/a/secret", true);
    assert!(matches!(session.get("/a/secret").await, Err(Error::Rejected { .. })));
    assert!(matches!(session.watch_node("/a/secret").await, Err(Error::Rejected { .. })));
    assert!(matches!(session.children("/a/secret").await, Err(Error::Rejected { .. })));
    let paths = ["/a/secret".to_owned(), "/a/open".to_owned(), "/a/secret/absent".to_owned()];
    let nodes = session.get_many(&paths).await.unwrap();
    assert!(matches!(nodes[0], Err(Error::Rejected { .. })));
    assert_eq!(nodes[1].as_ref().unwrap().as_ref().unwrap().data, b"yes");
    assert!(matches!(nodes[2], Ok(None)));
    assert_eq!(session.children("/a").await.unwrap(), ["open", "secret"]);
    zk.refuse_reads("/a/secret", false);
    assert!(session.get("/a/secret").await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn refused_reads_at_a_node_leave_those_below_it_alone() {
    let (zk, _client, session) = with_node().await;
    zk.put("/a/secret/open", "yes");
    zk.refuse_reads_at("/a/secret", true);
    assert!(matches!(session.get("/a/secret").await, Err(Error::Rejected { .. })));
    assert!(matches!(session.exists("/a/secret").await, Err(Error::Rejected { .. })));
    assert!(matches!(session.watch_node("/a/secret").await, Err(Error::Rejected { .. })));
    assert!(matches!(session.children("/a/secret").await, Err(Error::Rejected { .. })));
    assert_eq!(session.get("/a/secret/open").await.unwrap().unwrap().data, b"yes");
    session.create("/a/secret/new", b"", Kind::Persistent).await.unwrap();
    zk.refuse_reads_at("/a/secret", false);
    assert_eq!(session.children("/a/secret").await.unwrap(), ["new", "open"]);
}

#[tokio::test(start_paused = true)]
async fn an_older_state_has_its_numbers_and_its_sessions_again() {
    let (zk, old_client, old) = with_node().await;
    zk.put("/data", "old");
    let then = zk.get("/data").unwrap();
    let snapshot = zk.snapshot();
    zk.put("/data", "new");
    zk.put("/later", "");
    let (new_client, new) = connected(&zk).await;
    new.create("/m", b"", Kind::Ephemeral).await.unwrap();

    zk.restore(&snapshot);
    soon(old.ended()).await;
    soon(new.ended()).await;
    assert_eq!(zk.get("/data"), Some(then));
    assert_eq!((zk.get("/later"), zk.get("/m")), (None, None));
    assert_eq!(zk.sessions(), [old.id()]);
    assert_eq!(old_client.connect().await.unwrap().id(), old.id());
    assert_ne!(new_client.connect().await.unwrap().id(), new.id());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_an_older_state_brings_back_expires_if_nobody_wants_it() {
    let (zk, client, session) = with_node().await;
    let snapshot = zk.snapshot();
    client.close().await;
    assert_eq!(zk.get("/n"), None);
    zk.restore(&snapshot);
    assert_eq!(zk.owner("/n"), Some(session.id()));
    soon(zk.until(|zk| zk.get("/n").is_none())).await;
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_changes_are_told_like_any_other() {
    let (zk, _client, session) = with_node().await;
    let mut told = session.watch_tree("/a").await.unwrap();
    zk.put("/a/b/c", "1");
    zk.put("/a/b/c", "2");
    assert!(zk.remove("/a"));
    assert!(!zk.remove("/a"));
    let told: Vec<_> =
        std::iter::from_fn(|| told.try_next()).map(|change| (change.what, change.path)).collect();
    let expected = [
        (What::Created, "/a"),
        (What::Created, "/a/b"),
        (What::Created, "/a/b/c"),
        (What::Changed, "/a/b/c"),
        (What::Deleted, "/a/b/c"),
        (What::Deleted, "/a/b"),
        (What::Deleted, "/a"),
    ];
    assert_eq!(told, expected.map(|(what, path)| (what, path.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_strangers_node_takes_the_place_of_ours_until_the_stranger_ends() {
    let (zk, _client, session) = with_node().await;
    let before = zk.get("/n").unwrap().stat;
    let stranger = zk.stranger();
    zk.put_ephemeral("/n", "theirs", stranger);
    let now = session.get("/n").await.unwrap().unwrap();
    assert_eq!((now.data, now.stat.owner), (b"theirs".to_vec(), Some(stranger)));
    assert!(now.stat.czxid > before.czxid);
    zk.disconnect_all();
    advance(10 * T).await;
    assert_eq!(zk.owner("/n"), Some(stranger));
    zk.expire(stranger);
    assert_eq!(zk.get("/n"), None);

    let unknown = SessionId(7);
    zk.put_ephemeral("/deep/n", "", unknown);
    assert_eq!(zk.sessions(), [unknown]);
}

#[tokio::test(start_paused = true)]
async fn containers_go_one_level_at_a_time_and_only_after_they_had_children() {
    let (zk, _client, session) = with_node().await;
    for path in ["/outer", "/outer/inner", "/unused"] {
        session.create(path, b"", Kind::Container).await.unwrap();
    }
    session.create("/outer/inner/n", b"", Kind::Persistent).await.unwrap();
    zk.reap_containers();
    assert_eq!(zk.children("/outer"), ["inner"]);
    session.delete("/outer/inner/n", None).await.unwrap();
    zk.reap_containers();
    assert!(zk.get("/outer").is_some());
    assert_eq!(zk.children("/outer"), Vec::<String>::new());
    zk.reap_containers();
    assert_eq!(zk.get("/outer"), None);
    assert!(zk.get("/unused").is_some());
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_by_their_kind() {
    let (zk, client, session) = with_node().await;
    zk.reset_requests();
    assert_eq!(zk.requests().total(), 0);

    session.create("/a", b"", Kind::Persistent).await.unwrap();
    let _ = session.create("/a", b"", Kind::Persistent).await.unwrap_err();
    session.set("/a", b"", None).await.unwrap();
    session.get("/a").await.unwrap();
    session.exists("/a").await.unwrap();
    session.children("/a").await.unwrap();
    session.get_many(&vec!["/a".to_owned(); 101]).await.unwrap();
    let (_, _changed) = session.watch_node("/a").await.unwrap();
    let mut told = session.watch_tree("/a").await.unwrap();
    session.sync("/a").await.unwrap();
    session.commit(&[Op::Check { path: "/a".to_owned(), version: None }]).await.unwrap();
    session.delete("/a", None).await.unwrap();
    // Refused before it was sent.
    let _ = session.get("a").await.unwrap_err();

    let now = zk.requests();
    assert_eq!((now.creates, now.sets, now.deletes, now.multis), (2, 1, 1, 1));
    assert_eq!((now.gets, now.exists, now.lists, now.batches), (1, 1, 1, 2));
    assert_eq!((now.watches, now.syncs, now.connects, now.events), (2, 1, 0, 2));
    assert_eq!((now.writes(), now.reads(), now.total()), (5, 5, 13));
    assert!(told.try_next().is_some());

    zk.set_reachable(false);
    let _ = client.connect().await.unwrap_err();
    assert_eq!(zk.requests().connects, 1);
}

#[tokio::test(start_paused = true)]
async fn a_seed_decides_the_order_of_what_happens_at_once() {
    async fn order(seed: u64) -> Vec<String> {
        let zk = FakeZk::default().with_seed(seed);
        let mut clients = Vec::new();
        for _ in 0..8 {
            clients.push(connected(&zk).await);
        }
        let creates =
            clients.iter().map(|(_, session)| session.create("/n-", b"", Kind::EphemeralSequential));
        let made = futures::future::join_all(creates).await;
        made.into_iter().map(|made| made.unwrap().path).collect()
    }
    assert_eq!(order(1).await, order(1).await);
    assert_ne!(order(1).await, order(2).await);
}

#[tokio::test]
async fn clones_are_the_same_server_and_other_servers_are_not() {
    let zk = FakeZk::default();
    zk.clone().put("/a", "1");
    assert!(zk.get("/a").is_some());
    assert_eq!(FakeZk::default().get("/a"), None);
}

#[tokio::test(start_paused = true)]
async fn starting_a_server_that_runs_changes_nothing() {
    let zk = FakeZk::default();
    let client = zk.client();
    let session = client.connect().await.unwrap();
    zk.start();
    sleep(Duration::from_secs(60)).await;
    assert!(zk.is_connected(session.id()));
}
