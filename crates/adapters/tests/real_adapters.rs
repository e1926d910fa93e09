//! Each adapter on a real ZooKeeper.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use adapters::tower::{AnsweredBy, Balance, Discovered};
use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use common::{until, within};
use http::Request;
use http_body_util::{BodyExt, Empty};
use loadbalance::{Balancer, Instances, RoundRobin};
use proto::{NodeData, ServiceName};
use registry::{Discovery, Native, Registration, Registry};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio_stream::wrappers::TcpListenerStream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::balance::p2c;
use tower::load::Constant;
use tower::{BoxError, Service, ServiceExt, service_fn};
use zk_session::{Keeper, ZooKeeper};

/// How long clients have to hear of a server that leaves, on a machine that may be busy.
const HEARD: Duration = Duration::from_secs(6);

/// A ZooKeeper, and a session of a process that is not cut off only because the machine is busy.
struct Stage {
    _zookeeper: zk_local::Server,
    keeper: Keeper,
    registry: Registry,
    service: ServiceName,
}

impl Stage {
    async fn new() -> Self {
        let calm = Duration::from_secs(60);
        let server = zk_local::Server::builder().max_session(calm).start().await.unwrap();
        let client = ZooKeeper::builder(&server.connect_string()).session_timeout(calm).build().unwrap();
        let keeper = Keeper::start(client);
        let registry = Registry::new(keeper.sessions(), Native::default());
        Self { _zookeeper: server, keeper, registry, service: ServiceName::parse("time").unwrap() }
    }

    async fn announce(&self, address: impl ToString) -> Registration {
        let here = NodeData::at(address.to_string().parse().unwrap());
        let registration = self.registry.announce(&self.service, here).unwrap();
        within("it is registered", registration.registered()).await.unwrap();
        registration
    }

    /// Follows the service, which has so many instances.
    async fn follow(&self, many: usize) -> (Discovery, Balancer) {
        let discovery = self.registry.follow(&self.service);
        let balancer = Balancer::follow(discovery.instances(), RoundRobin::default());
        within("all are there", balancer.wait_for(|all| all.len() == many)).await.unwrap();
        (discovery, balancer)
    }
}

/// Asks nobody: gives the address that it would ask.
fn address(
    instance: &loadbalance::Instance,
) -> Result<
    impl Service<(), Response = String, Error = BoxError, Future: Send> + Clone + Send + use<>,
    BoxError,
> {
    let address = instance.data.address.as_ref().ok_or("no address")?.to_string();
    Ok(service_fn(move |()| std::future::ready(Ok(address.clone()))))
}

#[tokio::test]
async fn tower_follows_a_service_with_our_balancer_and_with_its_own() {
    let stage = Stage::new().await;
    let (a, b) = (stage.announce("127.0.0.1:1").await, stage.announce("127.0.0.1:2").await);
    let (discovery, balancer) = stage.follow(2).await;
    let ours = Balance::new(balancer.clone(), address);
    let mut theirs = p2c::Balance::new(Discovered::new(discovery.instances(), |instance| {
        Ok(Constant::new(address(instance)?, 1))
    }));
    let mut asked = HashSet::new();
    for _ in 0..4 {
        asked.insert(ours.clone().oneshot(()).await.unwrap());
    }
    assert_eq!(asked, HashSet::from(["127.0.0.1:1", "127.0.0.1:2"].map(str::to_owned)));
    assert!(asked.contains(&theirs.ready().await.unwrap().call(()).await.unwrap()));

    a.drain().unwrap();
    within("a is drained", balancer.wait_for(|all| all.len() == 1)).await.unwrap();
    for _ in 0..4 {
        assert_eq!(ours.clone().oneshot(()).await.unwrap(), "127.0.0.1:2");
        assert_eq!(theirs.ready().await.unwrap().call(()).await.unwrap(), "127.0.0.1:2");
    }
    until("what a is asked with is let go of", || ours.endpoints() == 1).await;
    b.withdraw().await;
    stage.keeper.close().await;
}

#[tokio::test]
async fn tonic_follows_a_service() {
    let stage = Stage::new().await;
    let mut registrations = Vec::new();
    for _ in 0..2 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        registrations.push(stage.announce(listener.local_addr().unwrap()).await);
        let (_health, service) = tonic_health::server::health_reporter();
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    }
    let (_discovery, balancer) = stage.follow(2).await;
    let channel = adapters::tonic::Channel::new(balancer.clone());
    let mut client = HealthClient::new(channel.clone());
    let mut answered = HashSet::new();
    for _ in 0..4 {
        let answer = within("an answer", client.check(HealthCheckRequest::default())).await.unwrap();
        answered.insert(answer.extensions().get::<AnsweredBy>().unwrap().0.id.clone());
    }
    assert_eq!(answered.len(), 2);

    registrations.pop().unwrap().withdraw().await;
    within("one left", balancer.wait_for(|all| all.len() == 1)).await.unwrap();
    until("its connection is let go of", || channel.endpoints() == 1).await;
    let last = registrations.pop().unwrap();
    for _ in 0..4 {
        let answer = within("an answer", client.check(HealthCheckRequest::default())).await.unwrap();
        assert_eq!(&answer.extensions().get::<AnsweredBy>().unwrap().0.id, last.id());
    }
    stage.keeper.close().await;
}

#[tokio::test]
async fn a_server_of_axum_comes_and_goes_under_a_client_of_hyper() {
    let stage = Stage::new().await;
    let (ready, told) = watch::channel(false);
    let start = async |answer: &'static str| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let (registry, service) = (stage.registry.clone(), stage.service.clone());
        let here = NodeData::at(address.to_string().parse().unwrap());
        let server = adapters::axum::Server::new(move || registry.announce(&service, here.clone()))
            .ready(told.clone())
            .heard(HEARD);
        let (stop, stopped) = oneshot::channel::<()>();
        let router = Router::new().route("/", get(async move || answer));
        let serving = server.serve(listener, router, async { drop(stopped.await) });
        (stop, tokio::spawn(serving))
    };
    let (stop_a, a) = start("a").await;
    let (stop_b, b) = start("b").await;
    let discovery = stage.registry.follow(&stage.service);
    let mut lists = discovery.instances();
    let empty = |list: &Option<Instances>| list.as_ref().is_some_and(Instances::is_empty);
    within("nobody is ready", lists.wait_for(empty)).await.unwrap();
    ready.send_replace(true);
    let (_discovery, balancer) = stage.follow(2).await;
    let client = adapters::hyper::client(balancer.clone());
    let ask = async || {
        let request = Request::get("/").body(Empty::<Bytes>::new()).unwrap();
        let answer = within("an answer", client.clone().oneshot(request)).await.unwrap();
        within("its body", answer.into_body().collect()).await.unwrap().to_bytes()
    };
    assert_eq!(HashSet::from([ask().await, ask().await]), HashSet::from(["a", "b"].map(Bytes::from)));

    // It leaves clients some time to hear: no request fails meanwhile.
    drop(stop_a);
    while !a.is_finished() {
        ask().await;
    }
    assert_eq!(within("the end", a).await.unwrap().unwrap().cut, 0);
    for _ in 0..4 {
        assert_eq!(ask().await, "b");
    }
    ready.send_replace(false);
    within("b is drained", balancer.wait_for(|all| all.is_empty())).await.unwrap();
    drop(stop_b);
    assert_eq!(within("the end", b).await.unwrap().unwrap().cut, 0);
    within("nobody is left", lists.wait_for(empty)).await.unwrap();
    stage.keeper.close().await;
}
