//! Sessions on real servers: how connections end, and what comes after.

mod real;

use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use real::{
    ENDLESS, LONG, behind_proxy, connected, gone, is_interrupted, nobody, options, soon, with_node, zookeeper,
};
use tokio::time::Instant;
use zk_local::{Direction, Proxy, Server};
use zk_session::{Connect, Error, Kind, Op};

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
    let ours = options(proxy.connect_string()).session_timeout(Duration::from_secs(6)).build().unwrap();
    let before = with_node(&ours, "/a").await;
    let other = zookeeper(server.connect_string());
    let witness = connected(&other).await;

    proxy.refuse(true);
    proxy.cut();
    soon(before.ended()).await;
    assert!(matches!(ours.connect().await, Err(Error::Unreachable { .. })));
    gone(&*witness, "/a").await;
    proxy.heal();

    let after = with_node(&ours, "/a").await;
    assert_ne!(after.id(), before.id());
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
    // Nothing but the cut ends anything in time.
    let zookeeper = options(proxy.connect_string()).session_timeout(ENDLESS).build().unwrap();
    let session = connected(&zookeeper).await;
    let (_, changed) = session.watch_node("/a").await.unwrap();
    let mut tree = session.watch_tree("/").await.unwrap();
    proxy.stall(Direction::ToClient);
    // More than may be under way at once, so that some still wait for their turn.
    let mut pending = join_all((0..3_000).map(|_| session.get("/a")));
    assert!((&mut pending).now_or_never().is_none());

    proxy.cut();
    soon(session.ended()).await;
    soon(changed).await;
    assert_eq!(soon(tree.next()).await, None);
    assert_eq!(tree.next().await, None);
    assert!(soon(pending).await.into_iter().all(is_interrupted));

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
    // Where a busy machine noticed it late, it does not with longer ones.
    for timeout in [LONG, 2 * LONG, 4 * LONG] {
        let zookeeper = options(proxy.connect_string()).session_timeout(timeout).build().unwrap();
        let session = connected(&zookeeper).await;
        let stalled = Instant::now();
        proxy.stall(Direction::Both);
        soon(session.ended()).await;
        let took = stalled.elapsed();
        proxy.heal();
        assert_eq!(connected(&zookeeper).await.id(), session.id());
        eprintln!("of {timeout:?} it took {took:?}");
        // The client's own choice would be two fifths.
        if took < timeout / 3 {
            return;
        }
    }
    panic!("it is given up too late");
}

#[tokio::test]
async fn silence_is_measured_against_the_timeout_that_the_server_granted() {
    // Where a busy machine noticed it late, or took an answer for none, it does not with longer ones.
    for granted in [LONG, 2 * LONG, 4 * LONG] {
        let server = Server::builder().max_session(granted).start().await.unwrap();
        let proxy = Proxy::start(server.address()).await.unwrap();
        let zookeeper = options(proxy.connect_string()).session_timeout(3 * granted).build().unwrap();
        let session = connected(&zookeeper).await;
        assert_eq!(session.timeout(), granted);
        let first = proxy.accepted();

        let stalled = Instant::now();
        proxy.stall(Direction::Both);
        soon(session.ended()).await;
        let took = stalled.elapsed();
        proxy.heal();
        assert_eq!(connected(&zookeeper).await.id(), session.id());
        let then = proxy.accepted() - first;
        eprintln!("of {granted:?} it took {took:?}, with {first} connections and {then} after it");
        // With a fifth of the wish the client would fall back to its own choice, two fifths. One connection is there to learn the timeout and
        // one to use it; later it begins to connect by itself once more before it is stopped, which the proxy may have seen, and learns nothing.
        if took < granted / 3 && first == 2 && then <= 2 {
            return;
        }
    }
    panic!("it is measured against something else");
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
async fn any_server_of_the_connect_string_will_do() {
    let server = Server::start().await.unwrap();
    let (_dead, dead) = nobody();
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

#[test]
fn connecting_without_a_runtime_is_refused() {
    let zookeeper = zookeeper("127.0.0.1:1");
    assert!(
        matches!(zookeeper.connect().now_or_never(), Some(Err(Error::Invalid(text))) if text.contains("tokio"))
    );
}
