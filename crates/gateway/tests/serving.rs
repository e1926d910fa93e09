//! Connections and their limits, on real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Extension;
use axum::http::{Request, StatusCode, Version};
use axum::routing::get;
use gateway::serve::{Limits, Peer, Serve, serve};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// No state is waited for longer than this.
const LIMIT: Duration = Duration::from_secs(60);

/// What serves, and a way to end it.
struct Serving {
    address: SocketAddr,
    /// A request to `/slow` is here.
    begun: Arc<Notify>,
    /// Lets it go on.
    go: Arc<Notify>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<usize>,
}

impl Serving {
    async fn start(limits: Limits) -> Self {
        let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (here, goes) = (begun.clone(), go.clone());
        let slow = async move || {
            here.notify_one();
            goes.notified().await;
            "slow"
        };
        let who = async |peer: Extension<Peer>| format!("{} {}", peer.address, peer.secure);
        let router = Router::new().route("/", get(who).post(who)).route("/slow", get(slow));
        Self::serving(router, (begun, go), limits).await
    }

    /// Serves anything.
    async fn serving(service: impl Serve, (begun, go): (Arc<Notify>, Arc<Notify>), limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, None, service, limits, async {
            let _ = stopped.await;
        }));
        Self { address, begun, go, stop: Some(stop), task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Waits until whatever came before is read: who comes behind it is served, twice, and hears the end.
    async fn is_at_rest(&self) {
        for _ in 0..2 {
            let mut behind = self.connect().await;
            send(&mut behind, "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
            rest(&mut behind).await;
        }
    }

    fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    async fn ended(self) -> usize {
        timeout(LIMIT, self.task).await.unwrap().unwrap()
    }
}

/// Lets so much time pass for everybody here, and none for the test. Nothing may be on its way over a connection.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

async fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// All that comes until the other end closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end, too.
    let _ = timeout(LIMIT, stream.read_to_end(&mut bytes)).await.expect("it ends in time");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What comes up to the end of the next answer without a chunk.
async fn answer(stream: &mut TcpStream, last: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(last) {
        let mut byte = [0];
        timeout(LIMIT, stream.read_exact(&mut byte)).await.unwrap().unwrap();
        text.push(char::from(byte[0]));
    }
    text
}

const HELLO: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test]
async fn a_connection_is_served_again_and_again_and_knows_its_peer() {
    let serving = Serving::start(Limits::default()).await;
    let mut stream = serving.connect().await;
    let peer = format!("{} false", stream.local_addr().unwrap());
    for _ in 0..3 {
        send(&mut stream, HELLO).await;
        assert!(answer(&mut stream, &peer).await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[tokio::test]
async fn http_2_is_spoken_without_tls() {
    let serving = Serving::start(Limits::default()).await;
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Body>();
    let request = Request::get(format!("http://{}/", serving.address)).body(Body::empty()).unwrap();
    let response = timeout(LIMIT, client.request(request)).await.unwrap().unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_2));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body.starts_with(b"127.0.0.1:"));
}

#[tokio::test]
async fn an_answer_that_cannot_have_a_body_says_no_length() {
    let router = Router::new()
        .route("/none", get(async || StatusCode::NO_CONTENT))
        .route("/known", get(async || StatusCode::NOT_MODIFIED))
        .route("/empty", get(async || StatusCode::OK));
    let serving = Serving::serving(router, Default::default(), Limits::default()).await;
    for http2 in [false, true] {
        let client = Client::builder(TokioExecutor::new()).http2_only(http2).build_http::<Body>();
        for (path, status, length) in [("none", 204, None), ("known", 304, None), ("empty", 200, Some("0"))] {
            let uri = format!("http://{}/{path}", serving.address);
            let request = Request::get(uri).body(Body::empty()).unwrap();
            let response = timeout(LIMIT, client.request(request)).await.unwrap().unwrap();
            assert_eq!((response.status().as_u16(), response.version() == Version::HTTP_2), (status, http2));
            let told = response.headers().get("content-length").map(|length| length.to_str().unwrap());
            assert_eq!(told, length, "{path}, HTTP/2: {http2}");
        }
    }
}

#[tokio::test]
async fn who_says_nothing_or_not_all_of_it_is_cut_off() {
    let hour = Duration::from_secs(3_600);
    let serving = Serving::start(Limits { first: hour, head: 2 * hour, ..Limits::default() }).await;
    // The beginning of a request, of HTTP/2's preface, and of nothing.
    for begin in ["", "P", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nhost: lo"] {
        let mut stream = serving.connect().await;
        send(&mut stream, begin).await;
        serving.is_at_rest().await;
        pass(2 * hour).await;
        let told = rest(&mut stream).await;
        assert!(!told.contains("200"), "{begin:?}: {told}");
    }
    // One that was served once, and says nothing more.
    let mut stream = serving.connect().await;
    for _ in 0..2 {
        send(&mut stream, HELLO).await;
        answer(&mut stream, " false").await;
        serving.is_at_rest().await;
        pass(hour * 3 / 2).await;
    }
    pass(hour).await;
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let serving = Serving::start(Limits { headers: 10, ..Limits::default() }).await;
    let many: String = (0..11).map(|number| format!("x-{number}: 1\r\n")).collect();
    for head in [many, format!("x: {}\r\n", "x".repeat(64 * 1024))] {
        let mut stream = serving.connect().await;
        // It may be refused before all of it was sent.
        let _ = stream.write_all(format!("GET / HTTP/1.1\r\nhost: localhost\r\n{head}\r\n").as_bytes()).await;
        let told = rest(&mut stream).await;
        assert!(told.starts_with("HTTP/1.1 431 "), "{told}");
    }
}

#[tokio::test]
async fn conflicting_lengths_are_refused() {
    let serving = Serving::start(Limits::default()).await;
    for lengths in [
        "content-length: 1\r\ncontent-length: 2\r\n",
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "content-length: 1, 2\r\n",
        "content-length: -1\r\n",
        "content-length: +1\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 1\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: xchunked\r\n",
    ] {
        let mut stream = serving.connect().await;
        send(&mut stream, &format!("POST / HTTP/1.1\r\nhost: localhost\r\n{lengths}\r\n0\r\n\r\n{HELLO}"))
            .await;
        let told = rest(&mut stream).await;
        assert!(told.starts_with("HTTP/1.1 400 "), "{lengths:?}: {told}");
        assert_eq!(told.matches("HTTP/1.1").count(), 1, "{lengths:?}: {told}");
    }
}

#[tokio::test]
async fn one_length_is_accepted() {
    let serving = Serving::start(Limits::default()).await;
    for body in
        ["content-length: 5\r\n\r\nhello", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
    {
        let mut stream = serving.connect().await;
        send(&mut stream, &format!("POST / HTTP/1.1\r\nhost: localhost\r\n{body}{HELLO}")).await;
        for _ in 0..2 {
            assert!(answer(&mut stream, " false").await.starts_with("HTTP/1.1 200 OK\r\n"), "{body}");
        }
    }
}

#[tokio::test]
async fn who_closes_its_side_still_gets_its_answer() {
    let serving = Serving::start(Limits::default()).await;
    let mut stream = serving.connect().await;
    send(&mut stream, "GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    stream.shutdown().await.unwrap();
    timeout(LIMIT, serving.begun.notified()).await.unwrap();
    serving.go.notify_one();
    assert!(rest(&mut stream).await.ends_with("slow"));
}

#[tokio::test]
async fn who_finds_no_room_is_served_when_there_is() {
    let serving = Serving::start(Limits { connections: 1, ..Limits::default() }).await;
    let mut first = serving.connect().await;
    send(&mut first, HELLO).await;
    answer(&mut first, " false").await;
    let mut second = serving.connect().await;
    send(&mut second, HELLO).await;
    let mut byte = [0];
    assert!(timeout(Duration::from_millis(300), second.read(&mut byte)).await.is_err(), "it waits");
    drop(first);
    answer(&mut second, " false").await;
}

#[tokio::test]
async fn what_runs_is_finished_and_nothing_new_is_accepted() {
    let mut serving = Serving::start(Limits::default()).await;
    let mut idle = serving.connect().await;
    send(&mut idle, HELLO).await;
    answer(&mut idle, " false").await;
    let mut runs = serving.connect().await;
    send(&mut runs, "GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    timeout(LIMIT, serving.begun.notified()).await.unwrap();

    serving.stop();
    assert_eq!(rest(&mut idle).await, "", "who is not served is let go at once");
    assert!(TcpStream::connect(serving.address).await.is_err());
    assert!(!serving.task.is_finished());
    serving.go.notify_one();
    assert!(rest(&mut runs).await.ends_with("slow"));
    assert_eq!(serving.ended().await, 0);
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut_off() {
    let mut serving =
        Serving::start(Limits { finish: Duration::from_millis(300), ..Limits::default() }).await;
    let mut runs = serving.connect().await;
    send(&mut runs, "GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    timeout(LIMIT, serving.begun.notified()).await.unwrap();
    serving.stop();
    assert_eq!(rest(&mut runs).await, "");
    assert_eq!(serving.ended().await, 1);
}
