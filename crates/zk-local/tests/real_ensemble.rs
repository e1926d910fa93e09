//! Three real servers that form one service.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use common::{client, create, exists, lives, soon, started, until};
use zk_local::{Ensemble, EnsembleBuilder, Error, Role, Server};

/// Three of them, which do not take each other for dead where a busy machine stands still for seconds.
fn three() -> EnsembleBuilder {
    Ensemble::builder(3).servers(Server::builder().config("syncLimit", "40"))
}

/// Waits until a server is that. One that changes what it is may give no answer meanwhile.
async fn becomes(ensemble: &Ensemble, index: usize, role: Role) {
    let is = async || ensemble.server(index).role().await.is_ok_and(|now| now == role);
    until(&format!("server {index} as {role:?}"), is).await;
}

/// The index of a server that follows.
fn follower(leader: usize) -> usize {
    (leader + 1) % 3
}

#[tokio::test]
async fn three_servers_elect_one_leader_and_are_gone_when_dropped() {
    let ensemble = started(three().start()).await;
    let leader = ensemble.leader().await.unwrap();
    for (index, server) in ensemble.servers().iter().enumerate() {
        let role = if index == leader { Role::Leader } else { Role::Follower };
        assert_eq!(server.role().await.unwrap(), role);
    }
    assert_eq!(ensemble.connect_string().split(',').count(), 3);
    assert!(matches!(ensemble.isolate(0), Err(Error::WrongState(_))));

    let pids: Vec<_> = ensemble.servers().iter().map(|server| server.pid().unwrap()).collect();
    drop(ensemble);
    assert!(!pids.into_iter().any(lives));
}

#[tokio::test]
async fn the_service_outlives_its_leader_and_takes_it_back() {
    let ensemble = started(three().start()).await;
    let first = ensemble.leader().await.unwrap();
    create(&client(&ensemble.connect_string()).await, "/kept").await.unwrap();

    ensemble.server(first).kill().await.unwrap();
    let second = ensemble.leader().await.unwrap();
    assert_ne!(second, first);
    create(&client(&ensemble.server(second).connect_string()).await, "/while-it-was-dead").await.unwrap();

    soon("its return", ensemble.server(first).start_again()).await.unwrap();
    let back = client(&ensemble.server(first).connect_string()).await;
    soon("the sync", back.sync("/")).await.unwrap();
    assert!(exists(&back, "/kept").await && exists(&back, "/while-it-was-dead").await);
}

#[tokio::test]
async fn all_servers_can_be_killed_and_started_again() {
    let ensemble = started(three().start()).await;
    create(&client(&ensemble.connect_string()).await, "/kept").await.unwrap();
    for server in ensemble.servers() {
        server.kill().await.unwrap();
    }
    soon("its return", ensemble.start_again()).await.unwrap();
    assert!(exists(&client(&ensemble.connect_string()).await, "/kept").await);
}

#[tokio::test]
async fn an_isolated_follower_answers_its_clients_while_the_others_go_on_without_it() {
    let ensemble = started(three().separable().start()).await;
    let leader = ensemble.leader().await.unwrap();
    let cut_off = follower(leader);
    let its_client = client(&ensemble.server(cut_off).connect_string()).await;
    let others_client = client(&ensemble.server(leader).connect_string()).await;

    ensemble.isolate(cut_off).unwrap();
    create(&others_client, "/unseen").await.unwrap();
    assert!(!exists(&its_client, "/unseen").await);
    assert_eq!(ensemble.server(cut_off).role().await.unwrap(), Role::Follower);

    // After syncLimit ticks it stops serving, and finds nobody to serve with.
    becomes(&ensemble, cut_off, Role::Searching).await;
    assert_eq!(ensemble.leader().await.unwrap(), leader);

    ensemble.rejoin(cut_off).unwrap();
    becomes(&ensemble, cut_off, Role::Follower).await;
    let its_client = client(&ensemble.server(cut_off).connect_string()).await;
    soon("the sync", its_client.sync("/")).await.unwrap();
    assert!(exists(&its_client, "/unseen").await);
}

#[tokio::test]
async fn an_isolated_leader_is_replaced_and_follows_when_it_is_back() {
    let ensemble = started(three().separable().start()).await;
    let old = ensemble.leader().await.unwrap();
    ensemble.isolate(old).unwrap();
    until("another leader", async || ensemble.leaders().await.iter().any(|leader| *leader != old)).await;
    becomes(&ensemble, old, Role::Searching).await;

    ensemble.rejoin(old).unwrap();
    becomes(&ensemble, old, Role::Follower).await;
    assert_ne!(ensemble.leader().await.unwrap(), old);
}

#[tokio::test]
#[should_panic(expected = "there is no server 3 among 3")]
async fn a_server_that_is_not_there_cannot_be_isolated() {
    let ensemble = started(three().separable().start()).await;
    let _ = ensemble.isolate(3);
}
