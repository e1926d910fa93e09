//! Servers are replaced one after the other while clients ask: no request fails.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use adapters::axum::Server;
use adapters::hyper::{Client, client};
use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use common::{instance, until, within};
use http::Request;
use http_body_util::{BodyExt, Full};
use loadbalance::{Algorithm, Balancer, Hash, Key, LeastConnections, RoundRobin};
use proto::{InstanceId, NodeData, ServiceName};
use registry::{Native, Registry};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet, yield_now};
use tower::ServiceExt;
use zk_session::Keeper;
use zk_session::fake::FakeZk;

/// So many clients ask without a pause.
const CLIENTS: usize = 8;

/// Far more than news take here, also on a machine that gives nobody any time for a while.
const HEARD: Duration = Duration::from_secs(3);

fn time() -> ServiceName {
    ServiceName::parse("time").unwrap()
}

/// A process that serves.
struct Process {
    keeper: Keeper,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<usize>,
}

impl Process {
    async fn start(zk: &FakeZk, name: &'static str, generation: usize, address: SocketAddr) -> Self {
        let keeper = Keeper::start(zk.client());
        let registry = Registry::new(keeper.sessions(), Native::default());
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = format!("{name} {generation} ");
        // Takes a moment, so that there is always something in flight.
        let echo = post(async move |body: Bytes| {
            for _ in 0..20 {
                yield_now().await;
            }
            [answer.as_bytes(), &body].concat()
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let announce = move || {
            let here = NodeData::at(address.to_string().parse().unwrap());
            registry.announce_as(&time(), InstanceId::parse(name).unwrap(), here)
        };
        let router = Router::new().route("/echo", echo);
        let server = Server::new(announce).heard(HEARD);
        let serving = server.serve(listener, router, async { drop(stopped.await) });
        let serving = tokio::spawn(async move { serving.await.unwrap().cut });
        Self { keeper, address, stop, serving }
    }

    /// Ends it in order. Gives where it was.
    async fn stop(self) -> SocketAddr {
        let _ = self.stop.send(());
        assert_eq!(within("it ends", self.serving).await.unwrap(), 0);
        within("its keeper is closed", self.keeper.close()).await;
        self.address
    }
}

/// Asks until it is told to stop. Gives who answered.
async fn keep_asking(
    client: Client<Full<Bytes>>,
    name: usize,
    asked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
) -> HashSet<String> {
    let mut answers = HashSet::new();
    while !stop.load(SeqCst) {
        let number = asked.fetch_add(1, SeqCst);
        let text = format!("{name} {number}");
        let request = Request::post("/echo").header("user", name).body(Full::from(text.clone())).unwrap();
        let response = within("an answer", client.clone().oneshot(request)).await;
        let response = response.unwrap_or_else(|error| panic!("request {number}: {error:?}"));
        assert!(response.status().is_success(), "request {number}: {}", response.status());
        let body = within("its body", response.into_body().collect()).await.unwrap().to_bytes();
        let answer = String::from_utf8(body.to_vec()).unwrap();
        let (who, echo) = answer.split_at(answer.len() - text.len());
        assert_eq!(echo, text);
        answers.insert(who.trim().to_owned());
    }
    answers
}

async fn restart_all(algorithm: impl Algorithm + 'static) {
    let zk = FakeZk::default();
    let anywhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut processes = Vec::new();
    for name in ["a", "b", "c"] {
        processes.push((name, Process::start(&zk, name, 0, anywhere).await));
    }

    let keeper = Keeper::start(zk.client());
    let discovery = Registry::new(keeper.sessions(), Native::default()).follow(&time());
    let balancer = Balancer::follow(discovery.instances(), algorithm);
    within("all are there", balancer.wait_for(|all| all.len() == 3)).await.unwrap();
    let client =
        client(balancer.clone()).key(|request| Some(Key::Bytes(request.headers().get("user")?.as_bytes())));

    let (asked, stop): (Arc<AtomicUsize>, Arc<AtomicBool>) = Default::default();
    let mut clients = JoinSet::new();
    for name in 0..CLIENTS {
        clients.spawn(keep_asking(client.clone(), name, asked.clone(), stop.clone()));
    }
    let mut restarts = 0;
    for generation in 1..=2 {
        for (name, process) in std::mem::take(&mut processes) {
            let before = asked.load(SeqCst);
            let address = process.stop().await;
            // In the first round under the same id elsewhere, in the second where it was.
            let address = if generation == 1 { anywhere } else { address };
            let process = Process::start(&zk, name, generation, address).await;
            let place = instance(name, process.address).data.address;
            let is_back = |all: &loadbalance::Candidates| {
                all.iter().any(|one| one.id().as_str() == name && one.instance().data.address == place)
            };
            within("it is back", balancer.wait_for(is_back)).await.unwrap();
            until("there was load", || asked.load(SeqCst) > before + 100).await;
            processes.push((name, process));
            restarts += 1;
        }
    }
    stop.store(true, SeqCst);
    let mut answers = HashSet::new();
    while let Some(answered) = clients.join_next().await {
        // A request that failed is a client that panicked.
        answers.extend(answered.unwrap());
    }
    assert_eq!(restarts, 6);
    // Everybody answered, in each of its lives.
    assert!(answers.len() >= 7, "{answers:?}");
    assert!(balancer.candidates().iter().all(|one| (one.in_flight(), one.failures()) == (0, 0)));
    for (_, process) in processes {
        process.stop().await;
    }
    until("what they were asked with is let go of", || client.endpoints() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_all_are_restarted_one_after_the_other() {
    restart_all(RoundRobin::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_by_least_connections() {
    restart_all(LeastConnections).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_by_a_key() {
    restart_all(Hash::by_key()).await;
}
