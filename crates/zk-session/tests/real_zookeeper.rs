//! Sessions on real servers: how connections end, and what comes after.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod real;

use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use real::{connected, gone, options, soon, zookeeper};
use tokio::time::{Instant, sleep};
use zk_local::{Direction, Proxy, Server};
use zk_session::{Acl, Change, Connect, Error, Keeper, Kind, Name, Op, Presence, Reader, Spec, Status, What};

/// A session so long that a fifth and a third of it are told apart on a busy machine.
const LONG: Duration = Duration::from_secs(15);

async fn behind_proxy() -> (Server, Proxy) {
    let server = Server::builder().max_session(4 * LONG).start().await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    (server, proxy)
}

fn is_interrupted<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Interrupted))
}

#[tokio::test]
async fn after_a_cut_the_same_session_comes_back_with_its_nodes() {
    let (_server, proxy) = behind_proxy().await;
    let zookeeper = zookeeper(proxy.connect_string());
    let before = connected(&zookeeper).await;
    let created = before.create("/a", b"1", Kind::Ephemeral).await.unwrap();
    assert_eq!(created.stat.owner, Some(before.id()));

    proxy.cut();
    soon(before.ended()).await;
    let after = connected(&zookeeper).await;
    assert_eq!(after.id(), before.id());
    assert_eq!(after.get("/a").await.unwrap().unwrap().stat, created.stat);
    assert!(is_interrupted(before.get("/a").await));
}

#[tokio::test]
async fn after_expiry_there_is_a_new_session() {
    let (server, proxy) = behind_proxy().await;
    let ours = options(proxy.connect_string()).session_timeout(Duration::from_secs(2)).build().unwrap();
    let before = connected(&ours).await;
    before.create("/a", b"", Kind::Ephemeral).await.unwrap();
    let other = zookeeper(server.connect_string());
    let witness = connected(&other).await;

    proxy.refuse(true);
    proxy.cut();
    soon(before.ended()).await;
    assert!(matches!(ours.connect().await, Err(Error::Unreachable { .. })));
    gone(&*witness, "/a").await;
    proxy.heal();

    let after = soon(ours.connect()).await.unwrap();
    assert_ne!(after.id(), before.id());
    after.create("/a", b"", Kind::Ephemeral).await.unwrap();
}

#[tokio::test]
async fn a_server_that_lost_its_data_gives_a_new_session() {
    let server = Server::start().await.unwrap();
    let zookeeper = zookeeper(server.connect_string());
    let before = connected(&zookeeper).await;
    for _ in 0..100 {
        before.sync("/").await.unwrap();
        before.create("/a-", b"", Kind::EphemeralSequential).await.unwrap();
    }
    server.kill().await.unwrap();
    server.wipe().await.unwrap();
    server.start_again().await.unwrap();
    let after = connected(&zookeeper).await;
    assert_ne!(after.id(), before.id());
    assert_eq!(after.children("/").await.unwrap(), ["zookeeper"]);
}

#[tokio::test]
async fn when_the_connection_goes_everything_on_it_ends() {
    let (_server, proxy) = behind_proxy().await;
    let zookeeper = options(proxy.connect_string()).session_timeout(LONG).build().unwrap();
    let session = connected(&zookeeper).await;
    let (_, changed) = session.watch_node("/a").await.unwrap();
    let mut tree = session.watch_tree("/").await.unwrap();
    proxy.stall(Direction::ToClient);
    // More than may be under way at once, so that some still wait for their turn.
    let mut pending = join_all((0..3_000).map(|_| session.get("/a")));
    assert!((&mut pending).now_or_never().is_none());

    let cut = Instant::now();
    proxy.cut();
    soon(session.ended()).await;
    soon(changed).await;
    assert_eq!(soon(tree.next()).await, None);
    assert_eq!(tree.next().await, None);
    assert!(soon(pending).await.into_iter().all(is_interrupted));
    assert!(cut.elapsed() < LONG / 5, "it took {:?}", cut.elapsed());

    soon(session.ended()).await;
    let some = || ["/a".to_owned()];
    assert!(is_interrupted(session.create("/a", b"", Kind::Ephemeral).await));
    assert!(is_interrupted(session.set("/a", b"", None).await));
    assert!(is_interrupted(session.delete("/a", None).await));
    assert!(is_interrupted(session.exists("/a").await));
    assert!(is_interrupted(session.children("/").await));
    assert!(is_interrupted(session.get_many(&some()).await));
    assert!(is_interrupted(session.commit(&[Op::Delete { path: "/a".to_owned(), version: None }]).await));
    assert!(is_interrupted(session.watch_node("/a").await));
    assert!(is_interrupted(session.watch_tree("/a").await));
    assert!(is_interrupted(session.sync("/").await));
}

#[tokio::test]
async fn a_silent_server_is_given_up_after_a_fifth_of_the_session() {
    let (_server, proxy) = behind_proxy().await;
    let zookeeper = options(proxy.connect_string()).session_timeout(LONG).build().unwrap();
    let session = connected(&zookeeper).await;
    let stalled = Instant::now();
    proxy.stall(Direction::Both);
    soon(session.ended()).await;
    // The client's own choice would be two fifths.
    assert!(stalled.elapsed() < LONG / 3, "it took {:?}", stalled.elapsed());
    proxy.heal();
    assert_eq!(connected(&zookeeper).await.id(), session.id());
}

#[tokio::test]
async fn silence_is_measured_against_the_timeout_that_the_server_granted() {
    let server = Server::builder().max_session(LONG).start().await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    let zookeeper = options(proxy.connect_string()).session_timeout(3 * LONG).build().unwrap();
    let session = connected(&zookeeper).await;
    assert_eq!(session.timeout(), LONG);
    let first = proxy.accepted();
    assert_eq!(first, 2, "one connection to learn the timeout, one to use it");

    let stalled = Instant::now();
    proxy.stall(Direction::Both);
    soon(session.ended()).await;
    // With a fifth of the wish the client would fall back to its own choice, two fifths.
    assert!(stalled.elapsed() < LONG / 3, "it took {:?}", stalled.elapsed());
    proxy.heal();
    assert_eq!(soon(zookeeper.connect()).await.unwrap().id(), session.id());
    // The client begins to connect by itself once more before it is stopped, which the proxy may have seen.
    assert!(proxy.accepted() <= first + 2, "the timeout is not learned again");
}

#[tokio::test]
async fn a_lost_reply_is_an_interruption_and_the_node_exists() {
    let (_server, proxy) = behind_proxy().await;
    let zookeeper = zookeeper(proxy.connect_string());
    let session = connected(&zookeeper).await;
    proxy.lose_next_reply();
    assert!(is_interrupted(soon(session.create("/a", b"1", Kind::Ephemeral)).await));
    soon(session.ended()).await;
    let again = connected(&zookeeper).await;
    assert_eq!(again.id(), session.id());
    let node = again.get("/a").await.unwrap().unwrap();
    assert_eq!((node.data.as_slice(), node.stat.owner), (b"1".as_slice(), Some(session.id())));
}

#[tokio::test]
async fn what_was_interrupted_is_not_asked_again_later() {
    let (server, proxy) = behind_proxy().await;
    let ours = zookeeper(proxy.connect_string());
    let session = connected(&ours).await;
    proxy.stall(Direction::Both);
    let paths: Vec<_> = (0..3_000).map(|i| format!("/late-{i}")).collect();
    let mut asked = join_all(paths.iter().map(|path| session.create(path, b"", Kind::Persistent)));
    assert!((&mut asked).now_or_never().is_none());
    proxy.cut();
    assert!(soon(&mut asked).await.into_iter().all(is_interrupted));
    assert!(is_interrupted(session.create("/later", b"", Kind::Persistent).await));

    proxy.heal();
    let again = connected(&ours).await;
    assert_eq!(again.id(), session.id());
    again.sync("/").await.unwrap();
    let witness = zookeeper(server.connect_string());
    assert_eq!(connected(&witness).await.children("/").await.unwrap(), ["zookeeper"]);
}

#[tokio::test]
async fn a_new_connection_ends_the_old_value() {
    let server = Server::start().await.unwrap();
    let zookeeper = zookeeper(server.connect_string());
    let old = connected(&zookeeper).await;
    old.create("/a", b"", Kind::Ephemeral).await.unwrap();
    let (_, changed) = old.watch_node("/a").await.unwrap();
    let new = connected(&zookeeper).await;
    assert_eq!(new.id(), old.id());
    soon(old.ended()).await;
    soon(changed).await;
    assert!(is_interrupted(old.get("/a").await));
    assert!(new.exists("/a").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn watches_survive_no_connection_and_harm_nobody_when_it_goes() {
    let (_server, proxy) = behind_proxy().await;
    let zookeeper = zookeeper(proxy.connect_string());
    for _ in 0..20 {
        let session = connected(&zookeeper).await;
        let waiting: Vec<_> = (0..100)
            .map(|i| {
                let session = session.clone();
                tokio::spawn(async move {
                    match session.watch_node(&format!("/{i}")).await {
                        Ok((_, changed)) => drop(changed.await),
                        Err(Error::Interrupted) => {}
                        Err(error) => panic!("{error}"),
                    }
                })
            })
            .collect();
        session.get("/").await.unwrap();
        proxy.cut();
        // A panic in one of them would be an error here.
        for task in waiting {
            soon(task).await.unwrap();
        }
    }
}

#[tokio::test]
async fn close_takes_the_nodes_away_at_once() {
    let (server, proxy) = behind_proxy().await;
    let other = zookeeper(server.connect_string());
    let witness = connected(&other).await;
    let long = || options(proxy.connect_string()).session_timeout(Duration::from_secs(40)).build().unwrap();

    let connected_one = long();
    let session = connected(&connected_one).await;
    session.create("/a", b"", Kind::Ephemeral).await.unwrap();
    let mut pending = session.watch_node("/a").await.unwrap().1;
    assert!((&mut pending).now_or_never().is_none());
    soon(connected_one.close()).await;
    assert_eq!(witness.exists("/a").await.unwrap(), None);
    soon(pending).await;
    assert!(is_interrupted(session.get("/a").await));
    assert!(matches!(connected_one.connect().await, Err(Error::Invalid(text)) if text.contains("closed")));

    let cut_off = long();
    let session = connected(&cut_off).await;
    session.create("/b", b"", Kind::Ephemeral).await.unwrap();
    proxy.cut();
    soon(session.ended()).await;
    soon(cut_off.close()).await;
    assert_eq!(witness.exists("/b").await.unwrap(), None);

    let refused_at_first = long();
    let session = connected(&refused_at_first).await;
    session.create("/c", b"", Kind::Ephemeral).await.unwrap();
    proxy.refuse(true);
    proxy.cut();
    let heal = async {
        sleep(Duration::from_millis(400)).await;
        proxy.heal();
    };
    soon(async { tokio::join!(refused_at_first.close(), heal) }).await;
    assert_eq!(witness.exists("/c").await.unwrap(), None);

    // A request that nobody polls holds what a close waits for: the close finds another way.
    let held = long();
    let session = connected(&held).await;
    session.create("/d", b"", Kind::Ephemeral).await.unwrap();
    proxy.delay(Duration::from_millis(100));
    let mut unpolled = session.get("/d");
    assert!((&mut unpolled).now_or_never().is_none());
    soon(held.close()).await;
    proxy.heal();
    gone(&*witness, "/d").await;
    drop(unpolled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_is_one_request_however_much_is_watched() {
    const WATCHED: usize = 200;
    let server = Server::builder().start().await.unwrap();
    let received = async || -> u64 { server.mntr().await.unwrap()["zk_packets_received"].parse().unwrap() };
    let closing = zookeeper(server.connect_string());
    let session = connected(&closing).await;
    let mut waiting = Vec::new();
    for number in 0..WATCHED {
        let (_, changed) = session.watch_node(&format!("/n{number}")).await.unwrap();
        waiting.push(tokio::spawn(changed));
    }
    let before = received().await;
    soon(closing.close()).await;
    soon(join_all(waiting)).await;
    // What is watched is a request each when it is taken back; the questions themselves and pings are a few.
    let requests = received().await - before;
    assert!(requests < 10, "{requests} requests");
}

#[tokio::test]
async fn close_takes_two_seconds_at_most_when_no_server_answers() {
    let (server, proxy) = behind_proxy().await;
    let gone = zookeeper(server.connect_string());
    let stalled = zookeeper(proxy.connect_string());
    let never = zookeeper(server.connect_string());
    let session = connected(&gone).await;
    connected(&stalled).await;
    proxy.stall(Direction::Both);
    let started = Instant::now();
    stalled.close().await;
    server.kill().await.unwrap();
    soon(session.ended()).await;
    gone.close().await;
    assert!(started.elapsed() < Duration::from_millis(4_500), "it took {:?}", started.elapsed());
    let started = Instant::now();
    never.close().await;
    gone.close().await;
    assert!(started.elapsed() < Duration::from_millis(1_900), "there is nothing to close");
}

#[tokio::test]
async fn close_ends_a_connect_that_is_under_way() {
    let (_server, proxy) = behind_proxy().await;
    proxy.stall(Direction::Both);
    let zookeeper = options(proxy.connect_string()).session_timeout(Duration::from_secs(60)).build().unwrap();
    let started = Instant::now();
    let (connect, ()) = soon(async { tokio::join!(zookeeper.connect(), zookeeper.close()) }).await;
    assert!(matches!(connect, Err(Error::Invalid(text)) if text.contains("closed")));
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_value_that_is_dropped_while_connected_closes_its_session() {
    let server = Server::start().await.unwrap();
    let other = zookeeper(server.connect_string());
    let witness = connected(&other).await;
    let zookeeper =
        options(server.connect_string()).session_timeout(Duration::from_secs(40)).build().unwrap();
    let session = connected(&zookeeper).await;
    session.create("/a", b"", Kind::Ephemeral).await.unwrap();
    drop(zookeeper);
    gone(&*witness, "/a").await;
    soon(session.ended()).await;
}

#[tokio::test]
async fn requests_are_executed_in_the_order_of_the_calls() {
    let server = Server::start().await.unwrap();
    let zookeeper = zookeeper(server.connect_string());
    let session = connected(&zookeeper).await;
    let many = (0..5_000).map(|_| session.create("/s-", b"", Kind::EphemeralSequential));
    let created: Vec<_> =
        soon(join_all(many)).await.into_iter().map(|created| created.unwrap().path).collect();
    assert!(created.is_sorted());
    assert_eq!((created[0].as_str(), created.len()), ("/s-0000000000", 5_000));
}

#[tokio::test]
async fn a_chroot_is_where_every_path_begins() {
    let server = Server::start().await.unwrap();
    let whole = zookeeper(server.connect_string());
    let whole = connected(&whole).await;
    let part = zookeeper(format!("{}/app/one", server.connect_string()));
    let session = connected(&part).await;
    assert_eq!((whole.chroot(), session.chroot()), ("/", "/app/one"));
    let refused = session.create("/a", b"", Kind::Ephemeral).await;
    assert!(matches!(refused, Err(Error::NoNode)), "its own node is not made");

    for path in ["/app", "/app/one"] {
        whole.create(path, b"", Kind::Persistent).await.unwrap();
    }
    let mut tree = session.watch_tree("/").await.unwrap();
    let created = session.create("/s-", b"", Kind::EphemeralSequential).await.unwrap();
    assert_eq!(created.path, "/s-0000000000");
    assert!(whole.exists("/app/one/s-0000000000").await.unwrap().is_some());
    assert_eq!(session.children("/").await.unwrap(), ["s-0000000000"]);
    assert_eq!(soon(tree.next()).await, Some(Change { path: created.path, what: What::Created }));
}

#[tokio::test]
async fn a_chroot_that_is_not_there_is_told_to_who_wants_a_node_at_its_top() {
    let server = Server::start().await.unwrap();
    let whole = zookeeper(server.connect_string());
    let whole = connected(&whole).await;
    let keeper = Keeper::start(zookeeper(format!("{}/app", server.connect_string())));
    let spec = Spec {
        directory: "/".to_owned(),
        name: Name::Own("one".to_owned()),
        data: Vec::new(),
        parents: Kind::Container,
    };
    let presence = Presence::hold(keeper.sessions(), spec).unwrap();
    let told = |now: &Status| matches!(now, Status::Pending { problem: Some(Error::Rejected { what }) } if what.contains("the chroot /app "));
    soon(presence.status().wait_for(told)).await.unwrap();
    whole.create("/app", b"", Kind::Persistent).await.unwrap();
    soon(presence.status().wait_for(|now| matches!(now, Status::Held(_)))).await.unwrap();
    assert!(whole.exists("/app/one").await.unwrap().is_some());
    soon(keeper.close()).await;
}

#[tokio::test]
async fn any_server_of_the_connect_string_will_do() {
    let server = Server::start().await.unwrap();
    let dead = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let zookeeper = zookeeper(format!("{dead},{},{dead}", server.address()));
    // They are tried in a random order.
    for _ in 0..10 {
        soon(zookeeper.connect()).await.unwrap();
    }
    server.kill().await.unwrap();
    match soon(zookeeper.connect()).await {
        Err(Error::Unreachable { servers, .. }) => assert!(servers.contains(&dead.to_string())),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn another_identity_may_read_and_is_told_what_else_it_may_not_do() {
    let server = Server::start().await.unwrap();
    let as_user =
        |user, acl| options(server.connect_string()).digest(user, "secret").acl(acl).build().unwrap();
    let alice = as_user("alice", Acl::Creator { readers: Some(Reader::Anyone) });
    let bob = as_user("bob", Acl::Open);
    let nobody = zookeeper(server.connect_string());
    let alices = connected(&alice).await;
    alices.create("/d", b"", Kind::Container).await.unwrap();
    let child = Op::Create { path: "/d/x".to_owned(), data: b"1".to_vec(), kind: Kind::Ephemeral };
    alices.commit(&[child]).await.unwrap();

    let rejection = |result: Result<(), Error>| match result {
        Err(Error::Rejected { what }) => what,
        Err(Error::Aborted { index: 0, source }) => source.to_string(),
        other => panic!("{other:?}"),
    };
    for other in [&bob, &nobody] {
        let others = connected(other).await;
        assert_eq!(others.get("/d/x").await.unwrap().unwrap().data, b"1");
        assert_eq!(others.children("/d").await.unwrap(), ["x"]);
        assert!(others.watch_node("/d/x").await.is_ok());
        assert!(others.watch_tree("/d").await.is_ok());
        let create = others.create("/d/y", b"", Kind::Ephemeral).await;
        assert_eq!(rejection(create.map(drop)), "not authorized to create /d/y");
        assert_eq!(rejection(others.set("/d/x", b"", None).await.map(drop)), "not authorized to write /d/x");
        assert_eq!(rejection(others.delete("/d/x", None).await), "not authorized to delete /d/x");
        let commit = [Op::Delete { path: "/d/x".to_owned(), version: None }];
        assert!(rejection(others.commit(&commit).await).contains("not authorized to delete /d/x"));
        assert!(others.get("/d/x").await.is_ok(), "a refusal does not end the connection");
    }
    alices.set("/d/x", b"2", None).await.unwrap();
}

#[tokio::test]
async fn a_node_that_may_not_be_read_hides_no_other() {
    let server = Server::start().await.unwrap();
    let alice =
        options(server.connect_string()).digest("alice", "secret").acl(Acl::Creator { readers: None });
    let alice = alice.build().unwrap();
    connected(&alice).await.create("/closed", b"", Kind::Ephemeral).await.unwrap();
    let bob = zookeeper(server.connect_string());
    let session = connected(&bob).await;
    session.create("/open", b"1", Kind::Ephemeral).await.unwrap();

    let paths: Vec<_> = (0..250).flat_map(|_| ["/open", "/closed", "/absent"]).map(str::to_owned).collect();
    let nodes = soon(session.get_many(&paths)).await.unwrap();
    assert_eq!(nodes.len(), paths.len());
    for nodes in nodes.chunks(3) {
        assert_eq!(nodes[0].as_ref().unwrap().as_ref().unwrap().data, b"1");
        assert!(
            matches!(&nodes[1], Err(Error::Rejected { what }) if what == "not authorized to read /closed")
        );
        assert!(matches!(nodes[2], Ok(None)));
    }
    assert!(matches!(session.get("/closed").await, Err(Error::Rejected { .. })));
    assert!(matches!(session.watch_node("/closed").await, Err(Error::Rejected { .. })));
    assert!(session.get_many(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_harms_nobody() {
    let server = Server::start().await.unwrap();
    let zookeeper = zookeeper(server.connect_string());
    let session = connected(&zookeeper).await;
    let large = vec![0; zk_session::MAX_DATA + 1];
    assert!(matches!(session.create("/a", &large, Kind::Ephemeral).await, Err(Error::Invalid(_))));
    assert!(matches!(session.create("/a//b", b"", Kind::Ephemeral).await, Err(Error::Invalid(_))));
    let fitting = |i| Op::Create { path: format!("/{i}"), data: vec![0; 60_000], kind: Kind::Ephemeral };
    assert!(matches!(session.commit(&(0..9).map(fitting).collect::<Vec<_>>()).await, Err(Error::Invalid(_))));
    session.commit(&(0..8).map(fitting).collect::<Vec<_>>()).await.unwrap();
    session.create("/a", &large[1..], Kind::Ephemeral).await.unwrap();
    assert_eq!(session.get("/a").await.unwrap().unwrap().data.len(), zk_session::MAX_DATA);
}

#[test]
fn connecting_without_a_runtime_is_refused() {
    let zookeeper = zookeeper("127.0.0.1:1");
    assert!(
        matches!(zookeeper.connect().now_or_never(), Some(Err(Error::Invalid(text))) if text.contains("tokio"))
    );
}
