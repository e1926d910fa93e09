//! Whose fault it is that an RPC failed, and what its status tells of that.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io;
use std::net::SocketAddr;

use adapters::tonic::{Channel, error_of};
use adapters::tower::{Error, Tried};
use bytes::Bytes;
use common::{instance, nowhere, standing, within};
use futures::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use loadbalance::{Balancer, PickError, RoundRobin};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceExt;

/// The health service of tonic.
async fn health() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_health, service) = tonic_health::server::health_reporter();
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

/// Takes what is sent, and closes the connection without an answer.
async fn broken() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    address
}

async fn check(channel: &Channel, tried: &Tried) -> Result<(), Status> {
    let mut request = Request::new(HealthCheckRequest::default());
    request.extensions_mut().insert(tried.clone());
    let mut client = HealthClient::new(channel.clone());
    within("an answer", client.check(request)).await.map(drop)
}

#[tokio::test]
async fn an_rpc_to_one_that_crashed_is_known_to_be_unsent_and_may_go_to_another_one() {
    let all = [instance("gone", nowhere()), instance("well", health().await)];
    let balancer = Balancer::fixed(all, RoundRobin::default());
    let (channel, tried) = (Channel::new(balancer.clone()), Tried::default());
    let status = check(&channel, &tried).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        matches!(error_of(&status), Some(Error::Failed { id, unsent: true, .. }) if id.as_str() == "gone")
    );
    assert_eq!(standing(&balancer, "gone"), (0, 1));

    check(&channel, &tried).await.unwrap();
    let status = check(&channel, &tried).await.unwrap_err();
    assert!(matches!(error_of(&status), Some(Error::Nobody(PickError::Tried { .. }))), "{status:?}");
}

#[tokio::test]
async fn an_rpc_that_may_have_been_sent_is_not_called_unsent() {
    let balancer = Balancer::fixed([instance("broken", broken().await)], RoundRobin::default());
    let status = check(&Channel::new(balancer.clone()), &Tried::default()).await.unwrap_err();
    assert!(matches!(error_of(&status), Some(Error::Failed { unsent: false, .. })), "{status:?}");
    assert_eq!(standing(&balancer, "broken"), (0, 1));
}

#[tokio::test]
async fn what_an_instance_answers_is_no_error_of_the_channel() {
    let balancer = Balancer::fixed([instance("a", health().await)], RoundRobin::default());
    let mut client = HealthClient::new(Channel::new(balancer));
    let unknown = HealthCheckRequest { service: "unknown".to_owned() };
    let status = within("an answer", client.check(unknown)).await.unwrap_err();
    assert!(status.code() == Code::NotFound && error_of(&status).is_none(), "{status:?}");
}

#[tokio::test]
async fn messages_that_cannot_be_made_are_nobodys_failure() {
    let balancer = Balancer::fixed([instance("a", health().await)], RoundRobin::default());
    balancer.pick(&Default::default()).unwrap().failed();
    let frames =
        [Ok(Frame::data(Bytes::from_static(b"\0\0\0"))), Err(io::Error::other("the disk is broken"))];
    let request = http::Request::post("/grpc.health.v1.Health/Check")
        .header("content-type", "application/grpc")
        .body(Body::new(StreamBody::new(stream::iter(frames))))
        .unwrap();
    let status = within("an error", Channel::new(balancer.clone()).oneshot(request)).await.unwrap_err();
    assert!(matches!(error_of(&status), Some(Error::Failed { unsent: false, .. })), "{status:?}");
    assert_eq!(standing(&balancer, "a"), (0, 1), "{status:?}");
}
