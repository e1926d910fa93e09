//! Sessions on real servers: how they are closed.

mod real;

use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use real::{
    ENDLESS, behind_proxy, connected, gone, is_interrupted, options, server, soon, with_node, zookeeper,
};
use tokio::time::{Instant, sleep, timeout};
use zk_local::{Direction, Server};
use zk_session::{Connect, Error, Session};

/// Closes in one way, again where that was not in time because the machine stood still: a node that is left then is there for as long as its
/// session, which is longer than anything is waited for.
async fn takes_its_node(witness: &dyn Session, way: &str, mut close: impl AsyncFnMut(&str)) {
    for attempt in 0..3 {
        let node = format!("/{way}-{attempt}");
        close(&node).await;
        if timeout(Duration::from_secs(10), gone(witness, &node)).await.is_ok() {
            return;
        }
    }
    panic!("{way}: the node is still there");
}

#[tokio::test]
async fn close_takes_the_nodes_away_at_once() {
    let (server, proxy) = behind_proxy().await;
    let other = zookeeper(server.connect_string());
    let witness = connected(&other).await;
    let long = || options(proxy.connect_string()).session_timeout(ENDLESS).build().unwrap();

    takes_its_node(&*witness, "connected", async |node| {
        let connected_one = long();
        let session = with_node(&connected_one, node).await;
        let mut pending = session.watch_node(node).await.unwrap().1;
        assert!((&mut pending).now_or_never().is_none());
        soon(connected_one.close()).await;
        soon(pending).await;
        assert!(is_interrupted(session.get(node).await));
        let refused = connected_one.connect().await;
        assert!(matches!(refused, Err(Error::Invalid(text)) if text.contains("closed")));
    })
    .await;

    takes_its_node(&*witness, "cut-off", async |node| {
        let cut_off = long();
        let session = with_node(&cut_off, node).await;
        proxy.cut();
        soon(session.ended()).await;
        soon(cut_off.close()).await;
    })
    .await;

    takes_its_node(&*witness, "refused-at-first", async |node| {
        let refused_at_first = long();
        with_node(&refused_at_first, node).await;
        proxy.refuse(true);
        proxy.cut();
        let heal = async {
            sleep(Duration::from_millis(400)).await;
            proxy.heal();
        };
        soon(async { tokio::join!(refused_at_first.close(), heal) }).await;
    })
    .await;

    // A request that nobody polls holds what a close waits for: the close finds another way.
    takes_its_node(&*witness, "held", async |node| {
        let held = long();
        let session = with_node(&held, node).await;
        proxy.delay(Duration::from_millis(100));
        let mut unpolled = session.get(node);
        assert!((&mut unpolled).now_or_never().is_none());
        soon(held.close()).await;
        proxy.heal();
        drop(unpolled);
    })
    .await;
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

/// How long something takes by a clock that stands still while anything is done.
async fn takes(what: impl Future<Output = ()>) -> Duration {
    tokio::time::pause();
    let started = Instant::now();
    what.await;
    let took = started.elapsed();
    tokio::time::resume();
    took
}

#[tokio::test]
async fn close_takes_two_seconds_at_most_when_no_server_answers() {
    const MOST: Duration = Duration::from_millis(2_010);
    let (server, proxy) = behind_proxy().await;
    let gone = zookeeper(server.connect_string());
    let stalled = zookeeper(proxy.connect_string());
    let never = zookeeper(server.connect_string());
    let session = connected(&gone).await;
    connected(&stalled).await;
    proxy.stall(Direction::Both);
    let took = takes(stalled.close()).await;
    assert!(took <= MOST, "it took {took:?}");
    server.kill().await.unwrap();
    soon(session.ended()).await;
    let took = takes(gone.close()).await;
    assert!(took <= MOST, "it took {took:?}");
    assert_eq!(takes(never.close()).await, Duration::ZERO, "there is nothing to close");
    assert_eq!(takes(gone.close()).await, Duration::ZERO, "there is nothing to close any more");
}

#[tokio::test]
async fn close_ends_a_connect_that_is_under_way() {
    let (_server, proxy) = behind_proxy().await;
    proxy.stall(Direction::Both);
    // By itself it would go on for longer than it is waited for.
    let zookeeper = options(proxy.connect_string()).session_timeout(ENDLESS).build().unwrap();
    let (connect, ()) = soon(async { tokio::join!(zookeeper.connect(), zookeeper.close()) }).await;
    assert!(matches!(connect, Err(Error::Invalid(text)) if text.contains("closed")));
}

#[tokio::test]
async fn a_value_that_is_dropped_while_connected_closes_its_session() {
    let server = server().await;
    let other = zookeeper(server.connect_string());
    let witness = connected(&other).await;
    let zookeeper = options(server.connect_string()).session_timeout(ENDLESS).build().unwrap();
    let session = with_node(&zookeeper, "/a").await;
    drop(zookeeper);
    gone(&*witness, "/a").await;
    soon(session.ended()).await;
}
