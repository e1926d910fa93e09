//! What counts as a failure of an instance, and what is the fault of whoever asks.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::SocketAddr;

use adapters::hyper::client;
use adapters::tower::{Balance, Error};
use axum::Router;
use axum::routing::any;
use bytes::Bytes;
use common::{instance, standing, within};
use futures::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use loadbalance::{Balancer, Instance, NodeData, RoundRobin};
use tokio::net::TcpListener;
use tower::{ServiceExt, service_fn};

/// Answers with all that it was sent.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", any(async |body: Bytes| body));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// One that has failed once.
fn one_that_failed(address: SocketAddr) -> Balancer {
    let balancer = Balancer::fixed([instance("a", address)], RoundRobin::default());
    balancer.pick(&Default::default()).unwrap().failed();
    assert_eq!(standing(&balancer, "a"), (0, 1));
    balancer
}

#[tokio::test]
async fn a_request_for_https_is_not_sent_in_the_clear_and_is_nobodys_failure() {
    let balancer = one_that_failed(echo().await);
    let request = Request::get("https://time/").body(Empty::<Bytes>::new()).unwrap();
    let error = within("an error", client(balancer.clone()).oneshot(request)).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("without TLS"), "{cause}");
    assert_eq!(standing(&balancer, "a"), (0, 1));
}

#[tokio::test]
async fn a_body_that_cannot_be_sent_is_nobodys_failure() {
    let balancer = one_that_failed(echo().await);
    let frames = [Ok(Frame::data(Bytes::from_static(b"x"))), Err(io::Error::other("the disk is broken"))];
    let request = Request::post("/").body(StreamBody::new(stream::iter(frames))).unwrap();
    let error = within("an error", client(balancer.clone()).oneshot(request)).await.unwrap_err();
    assert!(matches!(error, Error::Failed { .. }), "{error:?}");
    assert_eq!(standing(&balancer, "a"), (0, 1), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_is_dropped_before_its_end_forgives_nothing_and_a_whole_one_does() {
    let balancer = one_that_failed(echo().await);
    let ask = || {
        let body = Full::<Bytes>::from("a long story");
        client(balancer.clone()).oneshot(Request::post("/").body(body).unwrap())
    };
    drop(within("an answer", ask()).await.unwrap());
    assert_eq!(standing(&balancer, "a"), (0, 1));
    drop(within("an answer", ask()).await.unwrap().into_body().into_inner());
    assert_eq!(standing(&balancer, "a"), (0, 1));
    let body = within("an answer", ask()).await.unwrap().into_body();
    assert_eq!(within("its body", body.collect()).await.unwrap().to_bytes(), "a long story");
    assert_eq!(standing(&balancer, "a"), (0, 0));
}

#[tokio::test]
async fn one_that_cannot_be_asked_costs_no_request() {
    let behind = Instance::new(NodeData::behind_broker("code")).unwrap();
    let balancer = Balancer::fixed([behind, instance("a", "a:1")], RoundRobin::default());
    let balance = Balance::http(balancer.clone(), |instance| {
        instance.data.address.as_ref().ok_or("no address")?;
        Ok(service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))))
    });
    for _ in 0..6 {
        within("an answer", balance.clone().oneshot(Request::new(()))).await.unwrap();
    }
    assert_eq!(standing(&balancer, "a"), (0, 0));
    assert!(standing(&balancer, "code").1 > 0);
}
