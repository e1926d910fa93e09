//! Gateways on real sockets, on a ZooKeeper that is a fake.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway::serve::{Limits, serve};
use gateway::tls::{Files, Tls};
use gateway::{App, Fleet, Guard, api, fleet};
use leader::Election;
use proto::{NodeData, Root, ServiceName};
use registry::http::Discovery;
use registry::{Flat, Instances, Native, Registry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zk_session::Keeper;
use zk_session::fake::{FakeClient, FakeZk};

use crate::certificates::Authority;

/// No state is waited for longer than this.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Lets so much time pass for everybody here, and none for the test. Nothing may be on its way over a connection.
pub(crate) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Keeps the clock of everybody here where it is, until this is dropped: what waits for a time waits for ever, and all else goes on.
pub(crate) struct Frozen {
    _held: std::sync::mpsc::Sender<()>,
}

impl Frozen {
    pub(crate) fn begin() -> Self {
        tokio::time::pause();
        // A clock that is paused goes on by itself when everybody waits, but not while a thread is at work.
        let (held, released) = std::sync::mpsc::channel();
        tokio::task::spawn_blocking(move || released.recv_timeout(LIMIT * 3).is_ok());
        Self { _held: held }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}

/// A gateway that is served.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    app: Arc<App>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<usize>,
    /// Its way to ZooKeeper.
    pub(crate) client: FakeClient,
    keeper: Keeper,
}

impl Served {
    pub(crate) async fn start(zk: &FakeZk) -> Self {
        Self::guarded(zk, Guard::default()).await
    }

    pub(crate) async fn guarded(zk: &FakeZk, guard: Guard) -> Self {
        Self::serve(zk, guard, None, api::WAITING).await
    }

    /// One where so many may wait for news.
    pub(crate) async fn with_waiting(zk: &FakeZk, most: usize) -> Self {
        Self::serve(zk, Guard::default(), None, most).await
    }

    /// One that speaks TLS and wants to know its clients, and who signs for both.
    pub(crate) async fn with_tls(zk: &FakeZk) -> (Self, Authority) {
        Self::with_tls_and_waiting(zk, api::WAITING).await
    }

    /// The same, where so many may wait for news.
    pub(crate) async fn with_tls_and_waiting(zk: &FakeZk, most: usize) -> (Self, Authority) {
        let authority = Authority::new();
        let (chain, key) = authority.sign("server");
        let tls = Tls::load(Files { chain, key, client_ca: Some(authority.file("ca.pem")) });
        (Self::serve(zk, Guard::default(), Some(tls.unwrap()), most).await, authority)
    }

    async fn serve(zk: &FakeZk, guard: Guard, tls: Option<Tls>, most: usize) -> Self {
        let client = zk.client();
        let keeper = Keeper::start(client.clone());
        let registry = Registry::new(keeper.sessions(), Native::default());
        let election = Election::new(keeper.sessions(), Root::default());
        let fleet = Fleet::start(registry, Some(election), [], fleet::Options::default());
        Self::serve_app((client, keeper), App::with_waiting(fleet, most), guard, tls).await
    }

    /// One of the flat layout, whose service has this name.
    pub(crate) async fn flat(zk: &FakeZk, name: &str) -> Self {
        let client = zk.client();
        let keeper = Keeper::start(client.clone());
        let registry = Registry::new(keeper.sessions(), Flat::default());
        let name = ServiceName::parse(name).unwrap();
        let fleet = Fleet::start(registry, None, [name], fleet::Options::default());
        Self::serve_app((client, keeper), App::new(fleet), Guard::default(), None).await
    }

    async fn serve_app(
        (client, keeper): (FakeClient, Keeper),
        app: Arc<App>,
        guard: Guard,
        tls: Option<Tls>,
    ) -> Self {
        let router = api::router(app.clone(), guard);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, tls, router, Limits::default(), async {
            let _ = stopped.await;
        }));
        Self { address, app, stop, task, client, keeper }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many instances it registers, and how many leave it.
    pub(crate) fn leases(&self) -> (usize, usize) {
        let leases = self.app.leases();
        (leases.len(), leases.leaving())
    }

    /// Until when it keeps an instance of `time`, in milliseconds of the clock of people.
    pub(crate) async fn keeps_until(&self, id: &str) -> u64 {
        let asked = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            let path = format!("/v1/services/time/instances/{id}");
            let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answer = timeout(LIMIT, asked).await.unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let told: serde_json::Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"));
        told["ends"].as_u64().unwrap_or_else(|| panic!("{answer}"))
    }

    /// Stops it as its program does.
    pub(crate) async fn stop(self) {
        self.app.close();
        let _ = self.stop.send(());
        let ended = async {
            self.app.leases().close(LIMIT).await;
            self.task.await.unwrap();
            self.keeper.close().await;
        };
        timeout(LIMIT, ended).await.unwrap();
    }
}

pub(crate) fn time() -> ServiceName {
    ServiceName::parse("time").unwrap()
}

pub(crate) fn data(port: u16) -> NodeData {
    NodeData::at(proto::Address::new("127.0.0.1", port).unwrap())
}

/// Registers by somebody else.
pub(crate) fn register(zk: &FakeZk, name: &str, data: &NodeData) {
    let path = format!("/headkeeper/time/instances/{name}");
    zk.put_ephemeral(&path, proto::encode(data).unwrap(), zk.stranger());
}

/// Waits until a list has exactly these ids.
pub(crate) async fn list(discovery: &Discovery, expected: &[&str]) -> Instances {
    let is_it = |list: &Option<Instances>| {
        list.as_ref().is_some_and(|list| list.iter().map(|it| it.id.as_str()).eq(expected.iter().copied()))
    };
    becomes(&mut discovery.instances(), is_it).await.unwrap()
}

/// Waits for a state, and gives it.
pub(crate) async fn becomes<T: Clone>(rx: &mut watch::Receiver<T>, wished: impl FnMut(&T) -> bool) -> T {
    timeout(LIMIT, rx.wait_for(wished)).await.expect("it becomes so in time").unwrap().clone()
}
