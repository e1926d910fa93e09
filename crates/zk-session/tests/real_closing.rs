//! Sessions on real servers: how they are closed.

mod real;

use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use real::{behind_proxy, connected, gone, is_interrupted, options, soon, zookeeper};
use tokio::time::{Instant, sleep};
use zk_local::{Direction, Server};
use zk_session::{Connect, Error, Kind};

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
