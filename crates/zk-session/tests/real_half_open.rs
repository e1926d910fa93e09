//! A process whose requests arrive, and who hears no answers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod real;

use std::time::Duration;

use real::{connected, gone, options, soon, with_node, zookeeper};
use tokio::time::Instant;
use zk_local::{Direction, Proxy, Server};
use zk_session::{Connect, Error, ZooKeeper};

const T: Duration = Duration::from_secs(4);

/// Of a session that is not to end, on a busy machine neither.
const LONG: Duration = Duration::from_secs(12);

async fn behind_proxy(session: Duration) -> (Server, Proxy, ZooKeeper) {
    let server = Server::start().await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    let zookeeper = options(proxy.connect_string()).session_timeout(session).build().unwrap();
    (server, proxy, zookeeper)
}

/// Asks for a connection again and again, as a keeper does, and is answered never.
async fn asks_in_vain(zookeeper: &ZooKeeper) {
    loop {
        let outcome = zookeeper.connect().await;
        assert!(matches!(outcome, Err(Error::Unreachable { .. })), "{outcome:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_session_is_not_kept_alive_for_ever_by_asking_for_it() {
    let (server, proxy, ours) = behind_proxy(T).await;
    let session = with_node(&ours, "/leads").await;
    let others = zookeeper(server.connect_string());
    let witness = connected(&others).await;

    proxy.stall(Direction::ToClient);
    soon(session.ended()).await;
    tokio::select! {
        () = gone(&*witness, "/leads") => {}
        () = asks_in_vain(&ours) => {}
    }
    proxy.heal();
    assert_ne!(connected(&ours).await.id(), session.id());
}

#[tokio::test]
async fn a_session_that_lives_still_when_servers_are_heard_again_is_kept() {
    let (server, proxy, ours) = behind_proxy(LONG).await;
    let session = with_node(&ours, "/mine").await;
    let others = zookeeper(server.connect_string());
    let witness = connected(&others).await;

    proxy.stall(Direction::ToClient);
    soon(session.ended()).await;
    let lost = Instant::now();
    // For so long it is asked for, and so it lives for as long again.
    let unheard = tokio::time::timeout(LONG + LONG / 10, asks_in_vain(&ours)).await;
    assert!(unheard.is_err() && lost.elapsed() > LONG);
    proxy.heal();
    let again = connected(&ours).await;
    assert_eq!(again.id(), session.id());
    assert!(witness.exists("/mine").await.unwrap().is_some());
}
