//! Clients that leave while they wait for news, on real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod certificates;
mod serving_it;

use std::net::Shutdown;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use certificates::speak;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serving_it::{Frozen, LIMIT, Served, data, register};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use zk_session::fake::FakeZk;

const WATCH: &str = "/v1/services/time/watch";
const SERVICE: &str = "/v1/services/time";

/// What a client sends, that is all its connection is for unless it says so.
fn asks(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

/// One gateway where one alone may wait for news, of a service that it follows already. From then on no time passes, so that nobody is let go
/// because he is silent.
async fn start() -> (FakeZk, Served, Frozen) {
    let zk = FakeZk::default();
    register(&zk, "a", &data(1));
    let served = Served::with_waiting(&zk, 1).await;
    revision(&served).await;
    (zk, served, Frozen::begin())
}

/// Sends this and reads until there is this.
async fn open<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, request: &str, until: &str) -> (S, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.contains(until) {
        text.push(char::from(timeout(LIMIT, stream.read_u8()).await.unwrap().unwrap()));
    }
    (stream, text)
}

async fn connect(served: &Served) -> TcpStream {
    TcpStream::connect(served.address).await.unwrap()
}

/// The revision of the service now.
async fn revision(served: &Served) -> String {
    let (_, head) = open(connect(served).await, &asks(SERVICE), "\r\n\r\n").await;
    let (_, tag) = head.split_once("etag: \"").unwrap_or_else(|| panic!("{head}"));
    tag.split_once('"').unwrap().0.to_owned()
}

/// A query that waits for what comes after now.
async fn waiting(served: &Served) -> String {
    format!("{SERVICE}?wait=60s&revision={}", revision(served).await)
}

/// Whether there is a place for one more stream, which is gone again.
async fn is_room(served: &Served) -> bool {
    let (mut stream, head) = open(connect(served).await, &asks(WATCH), "\r\n\r\n").await;
    stream.shutdown().await.unwrap();
    timeout(LIMIT, stream.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    head.starts_with("HTTP/1.1 200 ")
}

/// The one place is free, once everybody has had some turns.
async fn is_free(served: &Served, who: &str) {
    for _ in 0..200 {
        if is_room(served).await {
            return;
        }
    }
    panic!("{who} keeps its place");
}

#[tokio::test]
async fn the_place_of_a_stream_is_free_when_its_client_leaves() {
    let (_zk, served, _frozen) = start().await;
    for (how, more, resets) in [
        ("one that closes", "", false),
        ("one that resets", "", true),
        // What is not read yet is before the end.
        ("one that asks for more before it closes", &*asks(SERVICE), false),
        ("one that asks for more before it resets", &*asks(SERVICE), true),
    ] {
        let (mut stream, _) = open(connect(&served).await, &asks(WATCH), "data: ").await;
        assert!(!is_room(&served).await, "{how} has it");
        stream.write_all(more.as_bytes()).await.unwrap();
        if resets {
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        }
        drop(stream);
        is_free(&served, how).await;
    }
}

#[tokio::test]
async fn the_place_of_a_query_that_waits_is_free_when_its_client_leaves() {
    let (_zk, served, _frozen) = start().await;
    let query = asks(&waiting(&served).await);
    let mut stream = connect(&served).await;
    stream.write_all(query.as_bytes()).await.unwrap();
    // It is heard of at some time.
    while is_room(&served).await {}
    drop(stream);
    is_free(&served, "it").await;
}

#[tokio::test]
async fn who_closes_its_side_is_answered_at_once_by_what_is_there() {
    let (_zk, served, _frozen) = start().await;
    let revision = revision(&served).await;
    for (path, is_told) in [(waiting(&served).await, "200 OK"), (WATCH.to_owned(), "retry: 1000\n\n")] {
        let mut stream = connect(&served).await;
        stream.write_all(asks(&path).as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        timeout(LIMIT, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.contains(is_told), "{answer}");
        assert!(answer.contains(&format!("\"revision\":\"{revision}\"")), "{answer}");
        // A whole answer, and its connection is closed behind it.
        assert!(path != WATCH || answer.ends_with("\r\n0\r\n\r\n"), "{answer}");
        is_free(&served, &path).await;
    }
}

#[tokio::test]
async fn the_place_of_a_stream_over_tls_is_free_when_its_client_leaves() {
    let zk = FakeZk::default();
    register(&zk, "a", &data(1));
    let (served, authority) = Served::with_tls_and_waiting(&zk, 1).await;
    let opens = async |until| {
        let identity = Some(authority.sign("client"));
        let stream = speak(connect(&served).await, &authority, identity, &[b"http/1.1"]).await.unwrap();
        open(stream, &asks(WATCH), until).await
    };
    let (stream, _) = opens("data: ").await;
    let _frozen = Frozen::begin();
    assert!(opens("\r\n\r\n").await.1.starts_with("HTTP/1.1 503 "));
    drop(stream);
    for _ in 0..200 {
        if opens("\r\n\r\n").await.1.starts_with("HTTP/1.1 200 ") {
            return;
        }
    }
    panic!("it keeps its place");
}

/// A connection of HTTP/2, and its socket.
async fn http2(served: &Served) -> (SendRequest<Body>, std::net::TcpStream) {
    let stream = connect(served).await.into_std().unwrap();
    let socket = stream.try_clone().unwrap();
    let io = TokioIo::new(TcpStream::from_std(stream).unwrap());
    let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    (sender, socket)
}

/// Asks for this, up to the first event of a stream.
async fn ask(sender: &mut SendRequest<Body>, path: &str) -> Response<Incoming> {
    let request = Request::get(format!("http://localhost{path}")).body(Body::empty()).unwrap();
    let mut response = timeout(LIMIT, sender.send_request(request)).await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    let mut text = String::new();
    while !text.contains("data: ") {
        let frame = timeout(LIMIT, response.body_mut().frame()).await.unwrap().unwrap().unwrap();
        text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
    response
}

#[tokio::test]
async fn the_place_of_a_stream_of_http_2_is_free_when_it_is_reset_or_its_connection_ends() {
    let (_zk, served, _frozen) = start().await;
    let (mut sender, socket) = http2(&served).await;
    let stream = ask(&mut sender, WATCH).await;
    assert!(!is_room(&served).await);
    // Its client resets the stream, and keeps the connection.
    drop(stream);
    is_free(&served, "a stream that is reset").await;

    let stream = ask(&mut sender, WATCH).await;
    assert!(!is_room(&served).await);
    socket.shutdown(Shutdown::Both).unwrap();
    is_free(&served, "a stream whose connection ends").await;
    drop(stream);

    let query = waiting(&served).await;
    for ends in [false, true] {
        let (sender, socket) = http2(&served).await;
        let asked = tokio::spawn({
            let (mut sender, query) = (sender.clone(), query.clone());
            async move { drop(ask(&mut sender, &query).await) }
        });
        while is_room(&served).await {}
        if ends {
            socket.shutdown(Shutdown::Both).unwrap();
        } else {
            asked.abort();
        }
        is_free(&served, "a query").await;
        assert_eq!(sender.is_closed(), ends);
    }
}
