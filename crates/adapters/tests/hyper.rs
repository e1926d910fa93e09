//! The client of HTTP/1.1, with real servers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use adapters::hyper::client;
use adapters::tower::Error;
use bytes::Bytes;
use common::{instance, list, nowhere, standing, until, within};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use loadbalance::{Balancer, Instance, NodeData, RoundRobin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::advance;
use tower::ServiceExt;

/// Answers each request with its name and the head that it got; the end of the answer to `/slow` waits until it is let go.
struct Server {
    address: SocketAddr,
    open: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
    release: Arc<Notify>,
}

async fn server(name: &'static str) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server {
        address: listener.local_addr().unwrap(),
        open: Arc::default(),
        accepted: Arc::default(),
        release: Arc::default(),
    };
    let (open, accepted, release) = (server.open.clone(), server.accepted.clone(), server.release.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            accepted.fetch_add(1, SeqCst);
            open.fetch_add(1, SeqCst);
            let (open, release) = (open.clone(), release.clone());
            tokio::spawn(async move {
                let _ = talk(stream, name, &release).await;
                open.fetch_sub(1, SeqCst);
            });
        }
    });
    server
}

/// By hand, so that it is seen what is sent.
async fn talk(mut stream: TcpStream, name: &str, release: &Notify) -> std::io::Result<()> {
    let mut head = Vec::new();
    loop {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = format!("{name} got {}", String::from_utf8_lossy(&head));
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
        stream.write_all(answer.as_bytes()).await?;
        if head.starts_with(b"GET /slow") {
            release.notified().await;
        }
        stream.write_all(text.as_bytes()).await?;
        head.clear();
    }
}

fn get(uri: &str) -> Request<Empty<Bytes>> {
    Request::get(uri).body(Empty::new()).unwrap()
}

async fn text(
    response: http::Response<impl http_body::Body<Data = Bytes, Error: std::fmt::Debug>>,
) -> String {
    let body = within("the body", response.into_body().collect()).await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn requests_are_shared_out_over_connections_that_are_kept() {
    let (a, b) = (server("a").await, server("b").await);
    let balancer =
        Balancer::fixed([instance("a", a.address), instance("b", b.address)], RoundRobin::default());
    let client = client(balancer);
    for round in 0..10 {
        for name in ["a", "b"] {
            let response =
                within("an answer", client.clone().oneshot(get("http://time/now?q=1"))).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let got = text(response).await;
            assert!(got.starts_with(&format!("{name} got GET /now?q=1 HTTP/1.1\r\n")), "{round}: {got}");
            assert!(got.contains("host: time\r\n"), "{got}");
        }
    }
    assert_eq!((a.accepted.load(SeqCst), b.accepted.load(SeqCst)), (1, 1));
}

#[tokio::test]
async fn a_connection_that_was_idle_for_20_s_is_not_used_again() {
    let a = server("a").await;
    let client = client(Balancer::fixed([instance("a", a.address)], RoundRobin::default()));
    for (idle, accepted) in [(0, 1), (19, 1), (25, 2)] {
        // Goes on by what is said here alone: a clock that stays paused runs ahead while everybody waits for a socket.
        tokio::time::pause();
        advance(Duration::from_secs(idle)).await;
        tokio::time::resume();
        text(within("an answer", client.clone().oneshot(get("/"))).await.unwrap()).await;
        assert_eq!(a.accepted.load(SeqCst), accepted, "after {idle} s");
    }
}

#[tokio::test]
async fn connections_of_one_that_left_are_closed_when_their_requests_are_over() {
    let (a, b) = (server("a").await, server("b").await);
    let (lists, receiver) = watch::channel(list([instance("a", a.address)]));
    let balancer = Balancer::follow(receiver, RoundRobin::default());
    let client = client(balancer.clone());
    let running = within("its head", client.clone().oneshot(get("/slow"))).await.unwrap();
    // A second one, which nobody uses any more.
    text(within("an answer", client.clone().oneshot(get("/"))).await.unwrap()).await;
    assert_eq!((a.open.load(SeqCst), standing(&balancer, "a")), (2, (1, 0)));

    lists.send_replace(list([instance("b", b.address)]));
    until("the idle one is closed", || a.open.load(SeqCst) == 1).await;
    let got = text(within("an answer", client.clone().oneshot(get("/"))).await.unwrap()).await;
    assert!(got.starts_with("b got"), "{got}");
    a.release.notify_one();
    let got = text(running).await;
    assert!(got.starts_with("a got GET /slow"), "{got}");
    until("the other one is closed, too", || a.open.load(SeqCst) == 0).await;
}

#[tokio::test]
async fn one_that_moved_under_its_id_is_asked_where_it_is() {
    let (old, new) = (server("old").await, server("new").await);
    let (lists, receiver) = watch::channel(list([instance("a", old.address)]));
    let client = client(Balancer::follow(receiver, RoundRobin::default()));
    let got = text(within("an answer", client.clone().oneshot(get("/"))).await.unwrap()).await;
    assert!(got.starts_with("old got"), "{got}");
    lists.send_replace(list([instance("a", new.address)]));
    until("the old place is left", || old.open.load(SeqCst) == 0).await;
    let got = text(within("an answer", client.oneshot(get("/"))).await.unwrap()).await;
    assert!(got.starts_with("new got"), "{got}");
}

#[tokio::test]
async fn who_refuses_connections_failed_and_who_has_no_address_cannot_be_asked() {
    let balancer = Balancer::fixed([instance("a", nowhere())], RoundRobin::default());
    let error = within("an error", client(balancer.clone()).oneshot(get("/"))).await.unwrap_err();
    assert!(matches!(&error, Error::Failed { id, .. } if id.as_str() == "a"), "{error:?}");
    assert_eq!(standing(&balancer, "a"), (0, 1));

    let behind = Instance::new(NodeData::behind_broker("code")).unwrap();
    let error =
        within("an error", client(Balancer::fixed([behind], RoundRobin::default())).oneshot(get("/")))
            .await
            .unwrap_err();
    assert!(matches!(error, Error::Unusable { .. }), "{error:?}");
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "it has no address: it is reached through a message broker only"
    );
}
