//! Clients that do not take what they asked for, on real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
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
use tokio::time::{Instant, timeout};

const LIMIT: Duration = Duration::from_secs(20);

/// So little that tests need not wait.
const UNREAD: Duration = Duration::from_millis(300);

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
    let (address, mut drops) = start(Limits { connections: 1, unread: UNREAD, ..Limits::default() }).await;
    for path in ["/endless", "/large"] {
        let mut deaf = connect(address).await;
        deaf.write_all(format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes()).await.unwrap();
        // It has its answer, and no more than the beginning is taken.
        timeout(LIMIT, deaf.read_u8()).await.unwrap().unwrap();
        let mut next = connect(address).await;
        next.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        timeout(LIMIT, next.read_to_string(&mut answer)).await.expect("there is room in time").unwrap();
        assert!(answer.ends_with("hello"), "{path}: {answer}");
        if path == "/endless" {
            timeout(LIMIT, drops.recv()).await.expect("nothing is kept of the answer");
        }
    }
}

#[tokio::test]
async fn a_connection_that_somebody_reads_slowly_stays() {
    let (address, mut drops) = start(Limits { unread: UNREAD, ..Limits::default() }).await;
    let mut slow = connect(address).await;
    slow.write_all(b"GET /endless HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let mut some = vec![0; 256 * 1024];
    for _ in 0..5 {
        tokio::time::sleep(UNREAD / 2).await;
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
    let (address, mut drops) = start(Limits { unread: UNREAD, ..Limits::default() }).await;
    let (mut sender, _connection) = http_2(address).await;
    let unread = timeout(LIMIT, sender.send_request(asking(address, "/endless"))).await.unwrap().unwrap();
    let mut read = timeout(LIMIT, sender.send_request(asking(address, "/endless"))).await.unwrap().unwrap();
    let reading = async {
        while let Some(frame) = read.body_mut().frame().await {
            frame.expect("it goes on");
        }
    };
    tokio::select! {
        dropped = timeout(LIMIT, drops.recv()) => assert_eq!(dropped.expect("it ends in time"), Some(())),
        () = reading => panic!("the one that is read ends"),
    }
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
    let head = Duration::from_millis(300);
    let limits = Limits { first: head, head, unread: UNREAD, ..Limits::default() };
    let (address, _drops) = start(limits).await;
    let (mut sender, connection) = http_2(address).await;
    let answer = timeout(LIMIT, sender.send_request(asking(address, "/"))).await.unwrap().unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
    timeout(LIMIT, connection).await.expect("it ends in time").unwrap().unwrap();

    // One that takes no more than the beginning of an answer, which is all given already.
    let (mut sender, connection) = http_2(address).await;
    let _unread = timeout(LIMIT, sender.send_request(asking(address, "/large"))).await.unwrap().unwrap();
    let _ = timeout(LIMIT, connection).await.expect("it ends in time").unwrap();
}

#[tokio::test]
async fn a_stream_that_somebody_reads_slowly_goes_on_however_much_was_there_at_once() {
    let limits = Limits { first: UNREAD, head: UNREAD, unread: UNREAD * 4, ..Limits::default() };
    let (address, _drops) = start(limits).await;
    let (mut sender, _connection) = http_2(address).await;
    let answer = timeout(LIMIT, sender.send_request(asking(address, "/large"))).await.unwrap().unwrap();
    let mut body = answer.into_body();
    let begun = Instant::now();
    // For longer than all limits together.
    while begun.elapsed() < UNREAD * 8 {
        tokio::time::sleep(UNREAD / 4).await;
        timeout(LIMIT, body.frame()).await.unwrap().unwrap().expect("it goes on");
    }
}
