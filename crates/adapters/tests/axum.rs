//! The server of axum, on a fake ZooKeeper.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::time::Duration;

use adapters::axum::{Ended, Server};
use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use common::{LIMIT, until, within};
use futures::FutureExt;
use proto::{InstanceId, NodeData, ServiceName};
use registry::{Discovery, Error, Flat, Instances, Layout, Native, Registration, Registry, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, timeout};
use zk_session::Keeper;
use zk_session::fake::FakeZk;

/// Long enough that a test sees what happens meanwhile, however busy the machine is: tests let it pass.
const HEARD: Duration = Duration::from_secs(10);

fn time() -> ServiceName {
    ServiceName::parse("time").unwrap()
}

/// A server, and who looks at the list.
struct Stage {
    zk: FakeZk,
    registry: Registry,
    keeper: Keeper,
    discovery: Discovery,
    _observer: Keeper,
    address: SocketAddr,
    listener: Option<TcpListener>,
    /// A request to `/slow` is here.
    begun: Arc<Notify>,
    /// Lets it be answered.
    release: Arc<Notify>,
}

impl Stage {
    async fn new(layout: impl Layout + Clone) -> Self {
        let zk = FakeZk::default();
        let keeper = Keeper::start(zk.client());
        let registry = Registry::new(keeper.sessions(), layout.clone());
        let observer = Keeper::start(zk.client());
        let discovery = Registry::new(observer.sessions(), layout).follow(&time());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (begun, release) = Default::default();
        Self {
            zk,
            registry,
            keeper,
            discovery,
            _observer: observer,
            address,
            listener: Some(listener),
            begun,
            release,
        }
    }

    fn server(&self, weight: u32) -> Server {
        let (registry, here) =
            (self.registry.clone(), NodeData::at(self.address.to_string().parse().unwrap()));
        let here = here.with_weight(weight);
        Server::new(move || registry.announce(&time(), here.clone())).heard(HEARD)
    }

    /// Serves until the sender is dropped.
    fn serve(&mut self, server: Server) -> (oneshot::Sender<()>, JoinHandle<Result<Ended, Error>>) {
        let (begun, release) = (self.begun.clone(), self.release.clone());
        let slow = get(move || async move {
            begun.notify_one();
            release.notified().await;
            "slow"
        });
        let who = get(async |ConnectInfo(from): ConnectInfo<SocketAddr>| from.ip().to_string());
        let router = Router::new().route("/who", who).route("/slow", slow);
        let (stop, stopped) = oneshot::channel::<()>();
        let listener = self.listener.take().unwrap();
        let serving = server.serve(listener, router, async { drop(stopped.await) });
        (stop, tokio::spawn(serving))
    }

    /// Waits until the weights in the list are these.
    async fn weights(&self, wanted: &[u32]) {
        let weights = |list: &Instances| list.iter().map(|instance| instance.data.weight).collect::<Vec<_>>();
        let mut lists = self.discovery.instances();
        let is = |list: &Option<Instances>| list.as_ref().is_some_and(|list| weights(list) == wanted);
        let what = format!("the weights {wanted:?}");
        within(&what, lists.wait_for(is)).await.unwrap();
    }

    /// Asks over a connection of its own.
    async fn ask(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nhost: time\r\nconnection: close\r\n\r\n").as_bytes())
            .await?;
        let mut answer = String::new();
        within("an answer", stream.read_to_string(&mut answer)).await?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
            _ => Err(std::io::Error::other(answer)),
        }
    }
}

async fn ended(serving: JoinHandle<Result<Ended, Error>>) -> Result<usize, Error> {
    within("the end", serving).await.unwrap().map(|ended| ended.cut)
}

/// Waits for what comes once clients have had their time to hear, and lets that pass.
async fn once_heard<T>(what: impl Future<Output = T>) -> T {
    let mut what = pin!(what);
    // Their time may not have begun before the first pass; then there is one more.
    for wait in [100, 3_000, 3_000] {
        if let Ok(came) = timeout(Duration::from_millis(wait), what.as_mut()).await {
            return came;
        }
        tokio::time::pause();
        advance(HEARD).await;
        tokio::time::resume();
    }
    within("what comes then", what).await
}

/// The same as [`ended`], of one that gives clients their time to hear.
async fn ended_once_heard(serving: JoinHandle<Result<Ended, Error>>) -> Result<usize, Error> {
    once_heard(serving).await.unwrap().map(|ended| ended.cut)
}

#[tokio::test]
async fn it_is_in_the_list_while_it_is_ready() {
    let mut stage = Stage::new(Native::default()).await;
    let (ready, told) = watch::channel(false);
    let (stop, serving) = stage.serve(stage.server(5).ready(told));
    // It answers, so that whoever looks after it can ask; it was never announced.
    assert_eq!(stage.ask("/who").await.unwrap(), "127.0.0.1");
    stage.weights(&[]).await;
    assert!(stage.zk.children("/headkeeper/time/instances").is_empty());

    for _ in 0..2 {
        ready.send_replace(true);
        stage.weights(&[5]).await;
        ready.send_replace(false);
        stage.weights(&[0]).await;
        assert_eq!(stage.ask("/who").await.unwrap(), "127.0.0.1");
    }
    ready.send_replace(true);
    stage.weights(&[5]).await;

    // What was told last stays true.
    drop(ready);
    assert_eq!(stage.ask("/who").await.unwrap(), "127.0.0.1");
    stage.weights(&[5]).await;
    drop(stop);
    assert_eq!(ended_once_heard(serving).await.unwrap(), 0);
    stage.weights(&[]).await;
}

#[tokio::test]
async fn a_probe_says_whether_it_is_ready_and_one_that_hangs_says_no() {
    const NO: u8 = 0;
    const YES: u8 = 1;
    let mut stage = Stage::new(Native::default()).await;
    let health = Arc::new(AtomicU8::new(NO));
    let asked = health.clone();
    let probe = move || {
        let answer = asked.load(SeqCst);
        async move { if answer > YES { std::future::pending().await } else { answer == YES } }
    };
    let (stop, serving) = stage.serve(stage.server(1).probe(Duration::from_millis(20), probe));
    stage.weights(&[]).await;
    for (answer, weight) in [(YES, 1), (NO, 0), (YES, 1), (2, 0), (YES, 1)] {
        health.store(answer, SeqCst);
        stage.weights(&[weight]).await;
    }
    drop(stop);
    assert_eq!(ended_once_heard(serving).await.unwrap(), 0);
}

#[tokio::test]
async fn it_leaves_in_order() {
    let mut stage = Stage::new(Native::default()).await;
    let (stop, serving) = stage.serve(stage.server(5).finish(10 * LIMIT));
    stage.weights(&[5]).await;
    let start = Instant::now();
    drop(stop);

    // Marked, and it goes on as before.
    stage.weights(&[0]).await;
    assert_eq!(stage.ask("/who").await.unwrap(), "127.0.0.1");
    let slow = stage.ask("/slow");
    tokio::pin!(slow);
    tokio::select! {
        answer = slow.as_mut() => panic!("{answer:?}"),
        () = within("it runs", stage.begun.notified()) => {}
    }
    once_heard(stage.weights(&[])).await;
    assert!(slow.as_mut().now_or_never().is_none(), "a request that runs is not cut");
    assert!(start.elapsed() >= HEARD);

    // No more connections, and what runs is finished.
    until("connections are refused", || std::net::TcpStream::connect(stage.address).is_err()).await;
    assert!(!serving.is_finished());
    stage.release.notify_one();
    assert_eq!(slow.await.unwrap(), "slow");
    assert_eq!(ended(serving).await.unwrap(), 0);
}

#[tokio::test]
async fn what_takes_too_long_is_cut_off_and_counted() {
    let mut stage = Stage::new(Native::default()).await;
    let server = stage.server(1).heard(Duration::ZERO).finish(HEARD);
    let (stop, serving) = stage.serve(server);
    stage.weights(&[1]).await;
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: time\r\n\r\n").await.unwrap();
    within("it runs", stage.begun.notified()).await;
    // A connection whose request is over is not cut off, it is closed.
    let mut idle = TcpStream::connect(stage.address).await.unwrap();
    idle.write_all(b"GET /who HTTP/1.1\r\nhost: time\r\n\r\n").await.unwrap();
    idle.readable().await.unwrap();
    drop(stop);
    assert_eq!(ended_once_heard(serving).await.unwrap(), 1);
    let mut rest = Vec::new();
    let end = within("its end", stream.read_to_end(&mut rest)).await;
    assert!(end.is_err() || rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn where_there_are_no_weights_it_is_withdrawn_instead() {
    let mut stage = Stage::new(Flat { dir: "/go_servers".parse().unwrap(), hide_ownerless: false }).await;
    let (ready, told) = watch::channel(true);
    let (stop, serving) = stage.serve(stage.server(1).ready(told));
    for _ in 0..3 {
        stage.weights(&[1]).await;
        ready.send_replace(false);
        stage.weights(&[]).await;
        ready.send_replace(true);
    }
    stage.weights(&[1]).await;
    let start = Instant::now();
    drop(stop);
    stage.weights(&[]).await;
    // Clients have time to hear here, too.
    assert_eq!(stage.ask("/who").await.unwrap(), "127.0.0.1");
    assert_eq!(ended_once_heard(serving).await.unwrap(), 0);
    assert!(start.elapsed() >= HEARD);
}

#[tokio::test]
async fn one_that_was_never_in_the_list_has_nobody_to_wait_for() {
    let mut stage = Stage::new(Native::default()).await;
    let (_ready, told) = watch::channel(false);
    let (stop, serving) = stage.serve(stage.server(1).ready(told).heard(10 * LIMIT));
    assert_eq!(stage.ask("/who").await.unwrap(), "127.0.0.1");
    drop(stop);
    assert_eq!(ended(serving).await.unwrap(), 0);
    assert!(stage.zk.children("/headkeeper/time/instances").is_empty());
}

#[tokio::test]
async fn what_cannot_be_announced_is_an_error() {
    let mut stage = Stage::new(Native::default()).await;
    let (registry, here) = (stage.registry.clone(), NodeData::behind_broker(""));
    let server = Server::new(move || registry.announce(&time(), here.clone()));
    let (_stop, serving) = stage.serve(server);
    let error = ended(serving).await.unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error:?}");
}

#[tokio::test]
async fn it_leaves_while_zookeeper_is_away() {
    let mut stage = Stage::new(Native::default()).await;
    let (stop, serving) = stage.serve(stage.server(1));
    stage.weights(&[1]).await;
    stage.zk.set_reachable(false);
    stage.zk.disconnect_all();
    drop(stop);
    assert_eq!(ended_once_heard(serving).await.unwrap(), 0);
    // The withdrawal goes on.
    stage.zk.set_reachable(true);
    until("it is withdrawn", || stage.zk.children("/headkeeper/time/instances").is_empty()).await;
    stage.keeper.close().await;
}

#[tokio::test]
async fn one_that_was_replaced_serves_on_and_does_not_fight() {
    let mut stage = Stage::new(Native::default()).await;
    let (ready, told) = watch::channel(true);
    let (stop, serving) = stage.serve(stage.server(5).ready(told));
    stage.weights(&[5]).await;

    // A newer process of the same id.
    let newer = Keeper::start(stage.zk.client());
    let registry = Registry::new(newer.sessions(), Native::default());
    let here = NodeData::at(stage.address.to_string().parse().unwrap()).with_weight(7);
    let id = InstanceId::parse(&stage.address.to_string()).unwrap();
    let registration = registry.announce_as(&time(), id, here).unwrap();
    stage.weights(&[7]).await;
    for now in [false, true, false, true] {
        ready.send_replace(now);
        assert_eq!(stage.ask("/who").await.unwrap(), "127.0.0.1");
    }
    drop(stop);
    assert_eq!(ended_once_heard(serving).await.unwrap(), 0);
    stage.weights(&[7]).await;
    registration.withdraw().await;
}

#[tokio::test]
async fn clients_may_be_given_all_the_time_there_is_to_hear() {
    let mut stage = Stage::new(Native::default()).await;
    let (stop, serving) = stage.serve(stage.server(1).heard(Duration::MAX));
    stage.weights(&[1]).await;
    drop(stop);
    stage.weights(&[0]).await;
    assert_eq!(stage.ask("/who").await.unwrap(), "127.0.0.1");
    assert!(!serving.is_finished());
    serving.abort();
}

#[tokio::test]
async fn how_it_stands_is_told() {
    let mut stage = Stage::new(Native::default()).await;
    let (told, mut status) = watch::channel(Status::Registering { problem: None });
    let (stop, serving) = stage.serve(stage.server(5).told(told));
    let is_registered = |now: &Status| matches!(now, Status::Registered { .. });
    within("it is registered", status.wait_for(is_registered)).await.unwrap();

    stage.zk.set_reachable(false);
    stage.zk.disconnect_all();
    let is_in_doubt = |now: &Status| matches!(now, Status::Registering { .. });
    within("it is not known to be", status.wait_for(is_in_doubt)).await.unwrap();
    stage.zk.set_reachable(true);
    within("it is again", status.wait_for(is_registered)).await.unwrap();

    drop(stop);
    assert_eq!(ended_once_heard(serving).await.unwrap(), 0);
    assert!(matches!(*status.borrow(), Status::Withdrawn));
}

/// One that a newer process has taken the place of, and who ends the newer one.
async fn replaced(stage: &mut Stage) -> (oneshot::Sender<()>, JoinHandle<Result<Ended, Error>>, Newer) {
    let (told, mut status) = watch::channel(Status::Registering { problem: None });
    let (stop, serving) = stage.serve(stage.server(5).told(told));
    stage.weights(&[5]).await;
    let keeper = Keeper::start(stage.zk.client());
    let registry = Registry::new(keeper.sessions(), Native::default());
    let here = NodeData::at(stage.address.to_string().parse().unwrap()).with_weight(7);
    let registration = registry.announce(&time(), here).unwrap();
    let is_replaced = |now: &Status| matches!(now, Status::Replaced);
    within("it is told", status.wait_for(is_replaced)).await.unwrap();
    assert_eq!(stage.ask("/who").await.unwrap(), "127.0.0.1");
    (stop, serving, Newer { registration, _keeper: keeper })
}

struct Newer {
    registration: Registration,
    _keeper: Keeper,
}

#[tokio::test]
async fn one_that_is_replaced_is_told_at_once_and_serves_until_clients_have_heard() {
    let mut stage = Stage::new(Native::default()).await;
    let start = Instant::now();
    let (stop, serving, newer) = replaced(&mut stage).await;
    // The newer one may be elsewhere: whoever has not read that yet asks here.
    drop(stop);
    assert_eq!(ended_once_heard(serving).await.unwrap(), 0);
    assert!(start.elapsed() >= HEARD, "{:?}", start.elapsed());
    stage.weights(&[7]).await;
    newer.registration.withdraw().await;
}

#[tokio::test]
async fn one_that_was_replaced_long_ago_has_nobody_to_wait_for() {
    let mut stage = Stage::new(Native::default()).await;
    let (stop, serving, newer) = replaced(&mut stage).await;
    // A clock that is paused goes on by itself when everybody waits, but not while a thread is at work.
    tokio::time::pause();
    let (held, released) = std::sync::mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || released.recv_timeout(LIMIT).is_ok());
    advance(HEARD * 2).await;
    let start = Instant::now();
    drop(stop);
    assert_eq!(ended(serving).await.unwrap(), 0);
    // Timers go by whole milliseconds.
    assert!(start.elapsed() < HEARD, "{:?}", start.elapsed());
    drop(held);
    tokio::time::resume();
    stage.weights(&[7]).await;
    newer.registration.withdraw().await;
}
