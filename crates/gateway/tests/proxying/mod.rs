//! A gateway's proxy on loopback, services that answer, and clients.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses a part of it, and a test that cannot go on says so by a panic"
)]

mod holding;

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use gateway::proxy::{Outcome, Peer, Proxy, Rules, Strict, Upgraded, Upstreams};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use loadbalance::{Instance, Instances, NodeData};
use proto::ServiceName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use self::holding::Holding;

/// How long a test waits for what has to come: the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(180);

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("it takes too long")
}

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
        tokio::task::spawn_blocking(move || released.recv_timeout(SOON).is_ok());
        Self { _held: held }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}

/// Waits until this stays what it is though everybody had many turns to go on.
pub(crate) async fn rests<T: PartialEq>(now: impl Fn() -> T) {
    let (mut last, mut turns) = (now(), 0);
    soon(async {
        // By turns, and not by the time that passes: nobody may have had any of it.
        while turns < 50 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let is = now();
            turns = if is == last { turns + 1 } else { 0 };
            last = is;
        }
    })
    .await;
}

/// Lists that tests change.
#[derive(Default)]
pub(crate) struct Fixed {
    lists: Mutex<HashMap<String, watch::Sender<Option<Instances>>>>,
    masters: Mutex<HashMap<String, watch::Sender<Option<Arc<Instance>>>>>,
}

impl Fixed {
    pub(crate) fn list(&self, service: &str, instances: impl IntoIterator<Item = Instance>) {
        let list: Instances = instances.into_iter().map(Arc::new).collect();
        self.lists.lock().unwrap().entry(service.to_owned()).or_default().send_replace(Some(list));
    }

    /// Waits until nobody follows this service any more.
    pub(crate) async fn is_let_go(&self, service: &str) {
        let lists = self.lists.lock().unwrap()[service].clone();
        lists.closed().await;
    }

    pub(crate) fn master(&self, service: &str, master: Option<Instance>) {
        let master = master.map(Arc::new);
        self.masters.lock().unwrap().entry(service.to_owned()).or_default().send_replace(master);
    }
}

impl Upstreams for Fixed {
    fn instances(&self, service: &ServiceName) -> watch::Receiver<Option<Instances>> {
        self.lists.lock().unwrap().entry(service.to_string()).or_default().subscribe()
    }

    fn master(&self, service: &ServiceName) -> watch::Receiver<Option<Arc<Instance>>> {
        self.masters.lock().unwrap().entry(service.to_string()).or_default().subscribe()
    }
}

pub(crate) fn instance(id: &str, address: SocketAddr) -> Instance {
    Instance { id: id.parse().unwrap(), data: NodeData::at(address.to_string().parse().unwrap()) }
}

/// A proxy that listens.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) proxy: Proxy,
    pub(crate) lists: Arc<Fixed>,
    /// The stream of each connection holds it.
    held: Arc<()>,
}

impl Gateway {
    pub(crate) async fn start(rules: &str) -> Self {
        Self::over(Fixed::default(), rules).await
    }

    /// One that finds these lists when it starts.
    pub(crate) async fn over(lists: Fixed, rules: &str) -> Self {
        let lists = Arc::new(lists);
        let proxy = Proxy::new(lists.clone(), Rules::read(rules).unwrap());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (serving, held) = (proxy.clone(), Arc::new(()));
        let holding = held.clone();
        tokio::spawn(async move {
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (proxy, held) = (serving.clone(), holding.clone());
                let peer = Arc::new(Peer::from(peer));
                let upgraded = Upgraded::default();
                let strict = Strict::new(Holding { stream, _held: held }, upgraded.clone());
                let service = service_fn(move |request| {
                    let (proxy, peer, upgraded) = (proxy.clone(), peer.clone(), upgraded.clone());
                    async move {
                        let answer = proxy.handle(request, &peer).await;
                        upgraded.see(&answer);
                        Ok::<_, Infallible>(answer)
                    }
                });
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection_with_upgrades(TokioIo::new(strict), service).await;
                });
            }
        });
        Self { address, proxy, lists, held }
    }

    /// One whose single service `s`, for all paths, has these instances, called `a`, `b` and so on.
    pub(crate) async fn before(addresses: &[SocketAddr], more: &str) -> Self {
        Self::with(addresses, &format!("[[rule]]\npath = \"/\"\nservice = \"s\"\n{more}")).await
    }

    pub(crate) async fn with(addresses: &[SocketAddr], rules: &str) -> Self {
        let lists = Fixed::default();
        let named = |(place, address): (usize, &SocketAddr)| {
            instance(&char::from(b'a' + place as u8).to_string(), *address)
        };
        lists.list("s", addresses.iter().enumerate().map(named));
        Self::over(lists, rules).await
    }

    /// Asks for `/` until the answer has this: balancers follow another list in tasks of their own.
    pub(crate) async fn until(&self, text: &str) -> u16 {
        soon(async {
            loop {
                let (status, answer) = self.get("/").await;
                if answer.contains(text) {
                    return status;
                }
            }
        })
        .await
    }

    /// Waits until so many connections are held.
    pub(crate) async fn holds(&self, connections: usize) {
        // The test has one, and the listener.
        soon(async {
            while Arc::strong_count(&self.held) != connections + 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    pub(crate) fn ended(&self, outcome: Outcome) -> u64 {
        self.proxy.served()[0].figures.ended(outcome)
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends these bytes and reads all that comes back until the connection is closed.
    pub(crate) async fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_ref()).await.unwrap();
        let mut answer = Vec::new();
        // A connection that was refused may be reset once its answer is there.
        let _ = soon(stream.read_to_end(&mut answer)).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Asks over a connection of its own.
    pub(crate) async fn ask<B>(&self, request: Request<B>) -> Response<Incoming>
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let io = TokioIo::new(self.connect().await);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        soon(sender.send_request(request)).await.unwrap()
    }

    /// Gets a path: status and body.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let response = self.ask(get(path)).await;
        (response.status().as_u16(), text(response).await)
    }
}

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", "test").body(Full::default()).unwrap()
}

pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(path).header("host", "test").body(Full::new(body.into())).unwrap()
}

pub(crate) async fn text(response: Response<Incoming>) -> String {
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    String::from_utf8_lossy(&body).into_owned()
}

/// A service that speaks HTTP by what this function says.
pub(crate) async fn service<F, A, B>(answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Response<B>> + Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    raw_service(move |stream| {
        let answer = answer.clone();
        async move {
            let answer = service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            let _ = http.serve_connection(TokioIo::new(stream), answer).with_upgrades().await;
        }
    })
    .await
}

/// A service that gets whole connections.
pub(crate) async fn raw_service<F, A>(serve: F) -> SocketAddr
where
    F: Fn(TcpStream) -> A + Send + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// A service that does this with each request's connection once its head is there, and how many there were.
pub(crate) async fn counted<F, A>(then: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(TcpStream) -> A + Clone + Send + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let address = raw_service(move |mut stream| {
        let (counter, then) = (counter.clone(), then.clone());
        async move {
            head(&mut stream).await;
            counter.fetch_add(1, Relaxed);
            then(stream).await;
        }
    });
    (address.await, count)
}

/// One that never answers.
pub(crate) async fn hangs() -> (SocketAddr, Arc<AtomicUsize>) {
    counted(|mut stream| async move {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    })
    .await
}

/// An address where nobody listens, nor will: it is taken for as long as this process runs.
pub(crate) async fn nobody() -> SocketAddr {
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = taken.local_addr().unwrap();
    std::mem::forget(taken);
    address
}

/// A service that says who it is.
pub(crate) async fn named(name: &'static str) -> SocketAddr {
    service(move |_| async move { Response::new(Full::from(name)) }).await
}

/// A service that says what it was asked: the line, the headers in order, and the body.
pub(crate) async fn mirror() -> SocketAddr {
    service(|request| async move {
        let (parts, body) = request.into_parts();
        let mut lines = vec![format!("{} {}", parts.method, parts.uri)];
        let mut headers: Vec<_> = parts
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        headers.sort();
        lines.extend(headers);
        let body = body.collect().await.unwrap().to_bytes();
        lines.push(format!("\n{}", String::from_utf8_lossy(&body)));
        Response::new(Full::from(lines.join("\n")))
    })
    .await
}

/// Reads the head of a message.
pub(crate) async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}
