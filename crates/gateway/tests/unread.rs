//! Clients that do not take what they asked for, on real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use gateway::serve::{Limits, serve};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// No state is waited for longer than this.
const LIMIT: Duration = Duration::from_secs(60);

/// So long that nothing else takes as much: tests let it pass.
const UNREAD: Duration = Duration::from_secs(3_600);

/// Longer than tests last, whatever passes in them.
const LONG: Duration = Duration::from_secs(24 * 3_600);

/// Lets so much time pass for everybody here, and none for the test, once everybody has done what there was to do.
async fn pass(time: Duration) {
    // By turns, and not by the time that passes: nobody may have had any of it.
    for _ in 0..20 {
        sleep(Duration::from_millis(5)).await;
    }
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Lets time pass, a little at a time, until this comes.
async fn while_time_passes<T>(what: impl Future<Output = T>) -> T {
    let mut what = pin!(what);
    for _ in 0..100 {
        if let Ok(came) = timeout(Duration::from_millis(50), what.as_mut()).await {
            return came;
        }
        pass(UNREAD / 4).await;
    }
    panic!("it did not come in a day");
}

/// A body without an end, which tells when it is dropped.
struct Endless(Arc<mpsc::UnboundedSender<()>>);

impl hyper::body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[7; 16 * 1024])))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// Serves `/endless`, `/large` and `/`. Gives where, and what tells when an endless body is dropped.
async fn start(limits: Limits) -> (SocketAddr, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (dropped, drops) = mpsc::unbounded_channel();
    let dropped = Arc::new(dropped);
    let router = Router::new()
        .route("/endless", get(async move || Response::new(Body::new(Endless(dropped.clone())))))
        .route("/large", get(async || vec![7; 64 << 20]))
        .route("/", get(async || "hello"));
    tokio::spawn(serve(listener, None, router, limits, std::future::pending()));
    (address, drops)
}

async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket.connect(address).await.unwrap()
}

#[tokio::test]
async fn a_connection_that_nobody_reads_from_is_closed_and_its_place_is_free() {
    let limits = Limits { connections: 1, unread: UNREAD, first: LONG, head: LONG, ..Limits::default() };
    let (address, mut drops) = start(limits).await;
    for path in ["/endless", "/large"] {
        let mut deaf = connect(address).await;
        deaf.write_all(format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes()).await.unwrap();
        // It has its answer, and no more than the beginning is taken.
        timeout(LIMIT, deaf.read_u8()).await.unwrap().unwrap();
        let mut next = connect(address).await;
        next.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        while_time_passes(next.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.ends_with("hello"), "{path}: {answer}");
        if path == "/endless" {
            timeout(LIMIT, drops.recv()).await.expect("nothing is kept of the answer");
        }
    }
}

#[tokio::test]
async fn a_connection_that_somebody_reads_slowly_stays() {
    let limits = Limits { unread: UNREAD, first: LONG, head: LONG, ..Limits::default() };
    let (address, mut drops) = start(limits).await;
    let mut slow = connect(address).await;
    slow.write_all(b"GET /endless HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let mut some = vec![0; 256 * 1024];
    for _ in 0..5 {
        pass(UNREAD / 2).await;
        timeout(LIMIT, slow.read_exact(&mut some)).await.unwrap().unwrap();
    }
    assert!(drops.try_recv().is_err());
}

type Sender = http2::SendRequest<Empty<Bytes>>;

/// A client of HTTP/2 that lets come 64 KiB of each answer until it takes them, and what tells of its end.
async fn http_2(address: SocketAddr) -> (Sender, tokio::task::JoinHandle<hyper::Result<()>>) {
    let io = TokioIo::new(connect(address).await);
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(16 << 20)
        .handshake(io)
        .await
        .unwrap();
    (sender, tokio::spawn(connection))
}

fn asking(address: SocketAddr, path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://{address}{path}")).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_ended_and_the_others_go_on() {
    let limits = Limits { unread: UNREAD, first: LONG, head: LONG, ..Limits::default() };
    let (address, mut drops) = start(limits).await;
    let (mut sender, _connection) = http_2(address).await;
    let unread = timeout(LIMIT, sender.send_request(asking(address, "/endless"))).await.unwrap().unwrap();
    let mut read = timeout(LIMIT, sender.send_request(asking(address, "/endless"))).await.unwrap().unwrap();
    let mut read_for = Duration::ZERO;
    while drops.try_recv().is_err() {
        assert!(read_for < 3 * UNREAD, "it ends in time");
        // More than is let come at once.
        for _ in 0..16 {
            timeout(LIMIT, read.body_mut().frame()).await.unwrap().unwrap().expect("it goes on");
        }
        pass(UNREAD / 4).await;
        read_for += UNREAD / 4;
    }
    assert!(read_for >= UNREAD, "not before its time: {read_for:?}");
    // What had come can be taken, and then it breaks off.
    let mut body = unread.into_body();
    let broken = async {
        loop {
            match body.frame().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error,
                None => panic!("it has no end"),
            }
        }
    };
    timeout(LIMIT, broken).await.expect("the client is told");
    // All of what was read can still be.
    timeout(LIMIT, read.body_mut().frame()).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_without_a_request_is_let_go_though_its_client_is_there() {
    let limits = Limits { first: UNREAD, head: UNREAD, unread: UNREAD, ..Limits::default() };
    let (address, _drops) = start(limits).await;
    let (mut sender, connection) = http_2(address).await;
    let answer = timeout(LIMIT, sender.send_request(asking(address, "/"))).await.unwrap().unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
    while_time_passes(connection).await.unwrap().unwrap();

    // One that takes no more than the beginning of an answer, which is all given already.
    let (mut sender, connection) = http_2(address).await;
    let _unread = timeout(LIMIT, sender.send_request(asking(address, "/large"))).await.unwrap().unwrap();
    let _ = while_time_passes(connection).await.unwrap();
}

#[tokio::test]
async fn a_stream_that_somebody_reads_slowly_goes_on_however_much_was_there_at_once() {
    let limits = Limits { first: UNREAD, head: UNREAD, unread: UNREAD * 4, ..Limits::default() };
    let (address, _drops) = start(limits).await;
    let (mut sender, _connection) = http_2(address).await;
    let answer = timeout(LIMIT, sender.send_request(asking(address, "/large"))).await.unwrap().unwrap();
    let mut body = answer.into_body();
    // For longer than all limits together.
    for _ in 0..32 {
        pass(UNREAD / 4).await;
        timeout(LIMIT, body.frame()).await.unwrap().unwrap().expect("it goes on");
    }
}
