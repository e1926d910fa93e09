//! The client of `registry` over HTTP, on the real program and a real ZooKeeper, while both go and come back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use cli::zookeeper::by_flags_alone;
use proto::{NodeData, ServiceName};
use registry::http::{Discovery, Gateways, Status};
use registry::{Instances, Native, Registry, Source, View};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;
use zk_local::{Proxy, Server};
use zk_session::{Keeper, ZooKeeper};

/// How long anything may take: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// So long that a busy machine loses no session by it.
const CALM: Duration = Duration::from_secs(60);

/// A gateway, and where it listens.
async fn gateway(zk: &str) -> (Child, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    by_flags_alone(command.as_std_mut()).env_remove("RUST_LOG");
    command.args(["--listen", "127.0.0.1:0", "--zk", zk, "--session-ms", "4000"]).kill_on_drop(true);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let address = line.strip_prefix("listening on http://").unwrap().parse().unwrap();
    (child, address)
}

async fn becomes<T: Clone>(rx: &mut watch::Receiver<T>, wished: impl FnMut(&T) -> bool) -> T {
    timeout(PATIENCE, rx.wait_for(wished)).await.expect("it becomes so in time").unwrap().clone()
}

async fn is_stale(discovery: &Discovery, stale: bool) -> View {
    let is_so =
        |view: &Option<View>| view.as_ref().is_some_and(|view| (view.source != Source::Live) == stale);
    becomes(&mut discovery.view(), is_so).await.unwrap()
}

async fn list(discovery: &Discovery, expected: &[&str]) -> Instances {
    let is_it = |list: &Option<Instances>| {
        list.as_ref().is_some_and(|list| list.iter().map(|it| it.id.as_str()).eq(expected.iter().copied()))
    };
    becomes(&mut discovery.instances(), is_it).await.unwrap()
}

fn at(address: &str) -> NodeData {
    NodeData::at(address.parse().unwrap())
}

#[tokio::test]
async fn lists_and_registrations_outlive_the_gateway_and_its_zookeeper() {
    let server = Server::start().await.unwrap();
    let way = Proxy::start(server.address()).await.unwrap();
    let time = ServiceName::parse("time").unwrap();
    let zookeeper = ZooKeeper::builder(&server.connect_string()).session_timeout(CALM);
    let keeper = Keeper::start(zookeeper.build().unwrap());
    let registry = Registry::new(keeper.sessions(), Native::default());
    let direct = registry.announce(&time, at("h:1")).unwrap();

    let (mut child, address) = gateway(&way.connect_string()).await;
    // At one place, whoever is there: nobody else takes its port while nobody is.
    let place = Proxy::start(address).await.unwrap();
    let gateways = Gateways::builder(&format!("http://{}", place.address()));
    let gateways = gateways.ttl(Duration::from_secs(12)).build().unwrap();
    let over_http = gateways.announce(&time, at("h:2").with_metadata("zone", "b")).unwrap();
    timeout(PATIENCE, over_http.registered()).await.unwrap().unwrap();
    let discovery = gateways.follow(&time);
    let truth = registry.follow(&time);
    let found = list(&discovery, &["h:1", "h:2"]).await;
    becomes(&mut truth.instances(), |list| list.as_ref() == Some(&found)).await;
    assert_eq!(found[1].data, over_http.data());

    // The gateway is cut off from ZooKeeper: what it says is what it knew, and nobody takes it for more.
    way.refuse(true);
    way.cut();
    assert_eq!(is_stale(&discovery, true).await.entries, found);
    direct.set_weight(7).unwrap();
    way.refuse(false);
    is_stale(&discovery, false).await;
    let is_heavier = |list: &Option<Instances>| {
        list.as_ref().is_some_and(|list| list.len() == 2 && list[0].data.weight == 7)
    };
    becomes(&mut discovery.instances(), is_heavier).await;

    // It is killed, and comes back after the end of its session, which took its instance along.
    child.kill().await.unwrap();
    assert_eq!(is_stale(&discovery, true).await.entries.len(), 2);
    becomes(&mut over_http.status(), |status| matches!(status, Status::Registering { problem: Some(_) }))
        .await;
    let is_left = |list: &Option<Instances>| {
        list.as_ref().is_some_and(|list| list.iter().map(|it| it.id.as_str()).eq(["h:1"]))
    };
    becomes(&mut truth.instances(), is_left).await;
    assert_eq!(discovery.instances().borrow().as_ref().unwrap().len(), 2, "the last that was known");
    let third = registry.announce(&time, at("h:3")).unwrap();
    let (_again, address) = gateway(&way.connect_string()).await;
    place.set_upstream(address);
    list(&discovery, &["h:1", "h:2", "h:3"]).await;
    is_stale(&discovery, false).await;
    becomes(&mut discovery.problem(), Option::is_none).await;
    timeout(PATIENCE, over_http.registered()).await.unwrap().unwrap();

    timeout(PATIENCE, over_http.withdraw()).await.unwrap();
    let left = list(&discovery, &["h:1", "h:3"]).await;
    becomes(&mut truth.instances(), |list| list.as_ref() == Some(&left)).await;
    timeout(PATIENCE, third.withdraw()).await.unwrap();
    list(&discovery, &["h:1"]).await;
    keeper.close().await;
    // The last session is over, and the service with it.
    list(&discovery, &[]).await;
}
