//! Answers of which it is not clear where they end, and what comes behind one.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod proxying;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use gateway::proxy::Outcome;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use tokio::io::AsyncWriteExt;

use self::proxying::{Gateway, get, head, mirror, pass, raw_service, soon, text};

/// A service that answers each request with these bytes, and how many connections there were.
async fn answers(answer: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let address = raw_service(move |mut stream| {
        counter.fetch_add(1, Relaxed);
        async move {
            loop {
                head(&mut stream).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    (address.await, count)
}

#[tokio::test]
async fn an_answer_with_a_length_and_an_encoding_ends_where_its_encoding_says() {
    for heads in [
        "transfer-encoding: chunked\r\ncontent-length: 3",
        "content-length: 3\r\ntransfer-encoding: chunked",
        "content-length: 300\r\nTransfer-Encoding: Chunked",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{heads}\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
        let (odd, count) = answers(answer.leak()).await;
        let gateway = Gateway::before(&[odd], "").await;
        for _ in 0..2 {
            let answer = gateway.ask(get("/")).await;
            assert!(!answer.headers().contains_key("content-length"), "{heads}");
            assert_eq!(text(answer).await, "hello world", "{heads}");
        }
        // Whoever sends that is not trusted with another request on the same connection.
        assert_eq!(count.load(Relaxed), 2, "{heads}");
    }
}

#[tokio::test]
async fn an_answer_that_could_end_in_two_places_is_refused() {
    for heads in [
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 5, 6",
        "content-length: +5",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{heads}\r\n\r\nhello");
        let (odd, _) = answers(answer.leak()).await;
        let gateway = Gateway::before(&[odd], "").await;
        assert_eq!(gateway.get("/").await.0, 502, "{heads}");
        // Nor is the head of one.
        let request = Request::head("/").header("host", "t").body(Full::<bytes::Bytes>::default()).unwrap();
        assert_eq!(gateway.ask(request).await.status(), 502, "{heads}");
        assert_eq!(gateway.ended(Outcome::Broken), 2, "{heads}");
    }
}

#[tokio::test]
async fn a_length_that_was_said_twice_is_said_once() {
    let (twice, _) =
        answers("HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\ncontent-length: 5\r\n\r\nhello").await;
    let gateway = Gateway::before(&[twice], "").await;
    let answer = gateway.ask(get("/")).await;
    assert_eq!(answer.headers().get_all("content-length").iter().collect::<Vec<_>>(), ["5"]);
    assert_eq!(text(answer).await, "hello");
}

#[tokio::test]
async fn what_comes_behind_an_answer_is_not_the_next_one() {
    let behind = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok\
                  HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";
    let without = "HTTP/1.1 204 No Content\r\ncontent-length: 6\r\n\r\npoison";
    for answer in [behind, without] {
        let (odd, _) = answers(answer).await;
        let gateway = Gateway::before(&[odd], "").await;
        for _ in 0..5 {
            let (_, text) = gateway.get("/").await;
            assert!(text.is_empty() || text == "ok", "{text}");
        }
    }
}

#[tokio::test]
async fn a_connection_is_not_used_any_more_when_the_instance_is_about_to_close_it() {
    for (said, kept) in [("timeout=0", 0), ("timeout=60", 1), ("max=3", 1)] {
        let answer = format!("HTTP/1.1 200 OK\r\nkeep-alive: {said}\r\ncontent-length: 2\r\n\r\nok");
        let (keeps, _) = answers(answer.leak()).await;
        let gateway = Gateway::before(&[keeps], "").await;
        assert_eq!(gateway.get("/").await.1, "ok");
        assert_eq!(gateway.proxy.served()[0].idle_connections, kept, "{said}");
    }
    let (keeps, count) =
        answers("HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 2\r\n\r\nok").await;
    let gateway = Gateway::before(&[keeps], "").await;
    gateway.get("/").await;
    pass(Duration::from_millis(600)).await;
    gateway.get("/").await;
    assert_eq!(count.load(Relaxed), 2);
}

#[tokio::test]
async fn a_body_that_an_instance_does_not_look_for_is_no_request_of_anybody() {
    // It reads heads alone, so a body is the next one to it; what it is asked to close it keeps as well.
    let careless = raw_service(|mut stream| async move {
        loop {
            let asked = head(&mut stream).await;
            if asked.starts_with("GET /hidden") {
                // That takes it until somebody else asks.
                head(&mut stream).await;
            }
            let line = asked.lines().next().unwrap().to_owned();
            let length = line.len();
            let answer =
                format!("HTTP/1.1 200 OK\r\nkeep-alive: timeout=60\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            if !line.starts_with("HEAD ") {
                stream.write_all(line.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let hidden = "GET /hidden HTTP/1.1\r\nhost: t\r\n\r\n";
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        let gateway = Gateway::before(&[careless], "").await;
        let body = Full::<bytes::Bytes>::from(hidden);
        let request = Request::builder().method(method).uri("/first").header("host", "t").body(body).unwrap();
        assert_eq!(gateway.ask(request).await.status(), 200, "{method}");
        let others = (0..5).map(|_| gateway.get("/mine"));
        for (_, answer) in futures::future::join_all(others).await {
            assert_eq!(answer, "GET /mine HTTP/1.1", "{method}");
        }
    }

    // Whoever does what it is asked to does not even read on, and one without a body is asked for nothing.
    let gateway = Gateway::before(&[mirror().await], "").await;
    let with = |method| Request::builder().method(method).uri("/").header("host", "t");
    for method in ["GET", "DELETE", "OPTIONS"] {
        let seen =
            text(gateway.ask(with(method).body(Full::<bytes::Bytes>::from(hidden)).unwrap()).await).await;
        assert!(seen.contains("\nconnection: close\n"), "{seen}");
        assert_eq!(gateway.proxy.served()[0].idle_connections, 0, "{method}");
    }
    let seen = text(gateway.ask(with("PUT").body(Full::<bytes::Bytes>::from(hidden)).unwrap()).await).await;
    assert!(!seen.contains("\nconnection: "), "{seen}");
    assert!(!gateway.get("/").await.1.contains("\nconnection: "));
    assert_eq!(gateway.proxy.served()[0].idle_connections, 1, "the others are kept");
}

#[tokio::test]
async fn a_head_of_an_answer_that_never_ends_is_no_answer() {
    let endless = raw_service(|mut stream| async move {
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 4_096]).await.is_ok() {}
    });
    let gateway = Gateway::before(&[endless.await], "").await;
    let answer = soon(gateway.ask(get("/"))).await;
    assert_eq!(answer.status(), 502);
    drop(answer.into_body().collect().await);
}
