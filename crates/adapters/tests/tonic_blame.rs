//! Whose fault it is that an RPC failed, and what its status tells of that.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapters::tonic::{Channel, error_of};
use adapters::tower::{Error, Tried};
use bytes::Bytes;
use common::{instance, nowhere, standing, until, within};
use futures::stream;
use http::Uri;
use http_body::Frame;
use http_body_util::StreamBody;
use hyper_util::rt::TokioIo;
use loadbalance::{Balancer, PickError, RoundRobin};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::{ServiceExt, service_fn};

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

/// A channel to one instance, "a", and how often it was connected to. The first attempt ends when it is told whether it succeeds.
struct Attempts {
    balancer: Balancer,
    channel: Channel,
    made: Arc<AtomicUsize>,
    end: oneshot::Sender<bool>,
}

impl Attempts {
    fn at(address: SocketAddr) -> Self {
        let balancer = Balancer::fixed([instance("a", address)], RoundRobin::default());
        let (end, ends) = oneshot::channel::<bool>();
        let (told, made) = (Arc::new(Mutex::new(Some(ends))), Arc::new(AtomicUsize::new(0)));
        let count = made.clone();
        let channel = Channel::with_connections(balancer.clone(), move |_| {
            let (told, count) = (told.clone(), count.clone());
            let connector = service_fn(move |_: Uri| {
                count.fetch_add(1, SeqCst);
                let told = told.lock().unwrap().take();
                async move {
                    if let Some(told) = told
                        && !told.await.unwrap()
                    {
                        return Err(io::Error::other("it was not there then"));
                    }
                    TcpStream::connect(address).await.map(TokioIo::new)
                }
            });
            Ok(Endpoint::from_static("http://a:1").connect_with_connector_lazy(connector))
        });
        Self { balancer, channel, made, end }
    }

    /// An RPC that is given up while it waits for the first attempt.
    async fn given_up(&self) {
        let channel = self.channel.clone();
        let rpc = tokio::spawn(async move { check(&channel, &Tried::default()).await });
        until("it connects", || self.made.load(SeqCst) == 1).await;
        rpc.abort();
        assert!(rpc.await.unwrap_err().is_cancelled());
    }
}

#[tokio::test]
async fn an_attempt_to_connect_that_was_given_up_fails_no_later_rpc() {
    let attempts = Attempts::at(health().await);
    attempts.given_up().await;
    let Attempts { balancer, channel, made, end } = attempts;
    end.send(false).unwrap();
    check(&channel, &Tried::default()).await.unwrap();
    assert_eq!((made.load(SeqCst), standing(&balancer, "a")), (2, (0, 0)));
}

#[tokio::test]
async fn nor_does_one_whose_rpc_was_over_by_its_deadline() {
    let Attempts { channel, made, end, .. } = Attempts::at(health().await);
    let mut request = Request::new(HealthCheckRequest::default());
    request.set_timeout(Duration::from_secs(1));
    let mut client = HealthClient::new(channel.clone());
    let status = within("an end", client.check(request)).await.unwrap_err();
    assert_eq!((status.code(), made.load(SeqCst)), (Code::DeadlineExceeded, 1));
    end.send(false).unwrap();
    check(&channel, &Tried::default()).await.unwrap();
}

#[tokio::test]
async fn an_attempt_that_was_given_up_is_gone_on_with() {
    let attempts = Attempts::at(health().await);
    attempts.given_up().await;
    let Attempts { channel, made, end, .. } = attempts;
    end.send(true).unwrap();
    check(&channel, &Tried::default()).await.unwrap();
    assert_eq!(made.load(SeqCst), 1);
}

#[tokio::test]
async fn an_rpc_whose_own_attempt_fails_makes_no_other() {
    let attempts = Attempts::at(nowhere());
    attempts.given_up().await;
    let Attempts { channel, made, end, .. } = attempts;
    end.send(false).unwrap();
    // The first of them is told of the old one, and makes its own.
    for expected in [2, 3, 4] {
        let status = check(&channel, &Tried::default()).await.unwrap_err();
        assert!(error_of(&status).unwrap().is_unsent(), "{status:?}");
        assert!(!status.message().contains("it was not there then"), "{status:?}");
        assert_eq!(made.load(SeqCst), expected);
    }
}
