//! The channel for gRPC, with real servers of tonic's own health service.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use adapters::tonic::{Channel, error_of};
use adapters::tower::{AnsweredBy, Tried};
use common::{LIMIT, instance, list, nowhere, standing, taken, until, within};
use futures::StreamExt;
use http::Uri;
use hyper_util::rt::TokioIo;
use loadbalance::{Balancer, Hash, InstanceId, Key, LeastConnections, RoundRobin};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Endpoint;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tonic::{Code, Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::HealthReporter;
use tower::service_fn;

struct Server {
    address: SocketAddr,
    health: HealthReporter,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// A connection that counts as open until it is dropped.
struct Counted(TcpStream, Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, SeqCst);
    }
}

impl Connected for Counted {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.0.connect_info()
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, to)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Server {
    async fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn on(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let (accepted, open): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let counts = (accepted.clone(), open.clone());
        let incoming = TcpListenerStream::new(listener).map(move |stream| {
            counts.0.fetch_add(1, SeqCst);
            counts.1.fetch_add(1, SeqCst);
            stream.map(|stream| Counted(stream, counts.1.clone()))
        });
        let (health, service) = tonic_health::server::health_reporter();
        let (stop, stopped) = oneshot::channel();
        let server = tonic::transport::Server::builder().add_service(service);
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            server.serve_with_incoming_shutdown(incoming, stopped).await.unwrap();
        });
        Self { address, health, accepted, open, stop, task }
    }

    /// Stops it, and waits until all its connections are closed.
    async fn stop(self) {
        let _ = self.stop.send(());
        within("the server ends", self.task).await.unwrap();
    }
}

async fn check(channel: &Channel) -> Result<String, Status> {
    ask(channel, HealthCheckRequest::default()).await
}

/// Gives who answered.
async fn ask(
    channel: &Channel,
    request: impl tonic::IntoRequest<HealthCheckRequest>,
) -> Result<String, Status> {
    let mut client = HealthClient::new(channel.clone());
    within("an answer", client.check(request)).await.map(|response| answered_by(&response))
}

fn answered_by<T>(response: &Response<T>) -> String {
    response.extensions().get::<AnsweredBy>().unwrap().0.id.to_string()
}

#[tokio::test]
async fn each_rpc_is_picked_for_over_one_connection_to_each() {
    let (a, b) = (Server::start().await, Server::start().await);
    let balancer =
        Balancer::fixed([instance("a", a.address), instance("b", b.address)], RoundRobin::default());
    let channel = Channel::new(balancer.clone());
    for _ in 0..20 {
        assert_eq!(check(&channel).await.unwrap(), "a");
        assert_eq!(check(&channel).await.unwrap(), "b");
    }
    assert_eq!((a.accepted.load(SeqCst), b.accepted.load(SeqCst), channel.endpoints()), (1, 1, 2));
    assert_eq!((standing(&balancer, "a"), standing(&balancer, "b")), ((0, 0), (0, 0)));
    drop(channel);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_stream_counts_until_its_end_or_until_it_is_dropped() {
    let a = Server::start().await;
    let balancer = Balancer::fixed([instance("a", a.address)], RoundRobin::default());
    let mut client = HealthClient::new(Channel::new(balancer.clone()));
    let watch = |client: &mut HealthClient<Channel>| {
        let mut client = client.clone();
        async move { within("a stream", client.watch(HealthCheckRequest::default())).await.unwrap().into_inner() }
    };
    let (mut first, second) = (watch(&mut client).await, watch(&mut client).await);
    assert!(within("a message", first.message()).await.unwrap().is_some());
    assert_eq!(standing(&balancer, "a"), (2, 0));
    drop(second);
    assert_eq!(standing(&balancer, "a"), (1, 0));

    // The server ends the first: its trailers come while its value is still held.
    a.health.set_service_status("", ServingStatus::NotServing).await;
    assert!(within("a message", first.message()).await.unwrap().is_some());
    assert_eq!(standing(&balancer, "a"), (1, 0));
    a.health.clone().clear_service_status("").await;
    let end = within("the end", first.message()).await;
    assert!(!matches!(end, Ok(Some(_))), "{end:?}");
    assert_eq!(standing(&balancer, "a").0, 0);
}

#[tokio::test]
async fn who_cannot_be_reached_failed_and_stays_until_it_can() {
    let (socket, address) = taken();
    let b = Server::start().await;
    let instances = [instance("a", address), instance("b", b.address)];
    let balancer = Balancer::fixed(instances, RoundRobin::default());
    let channel = Channel::new(balancer.clone());
    for failures in 1..=3 {
        let status = check(&channel).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(status.message().starts_with("instance a did not answer: "), "{status:?}");
        assert_eq!(check(&channel).await.unwrap(), "b");
        assert_eq!(standing(&balancer, "a"), (0, failures));
        assert_eq!((channel.endpoints(), balancer.candidates().len()), (2, 2));
    }
    let _a = Server::on(socket.listen(16).unwrap());
    assert_eq!(check(&channel).await.unwrap(), "a");
    assert_eq!((check(&channel).await.unwrap().as_str(), standing(&balancer, "a")), ("b", (0, 0)));
}

#[tokio::test]
async fn a_balancer_that_minds_passes_over_who_cannot_be_reached() {
    let b = Server::start().await;
    let instances = [instance("a", nowhere()), instance("b", b.address)];
    let channel = Channel::new(Balancer::fixed(instances, LeastConnections));
    let mut failed = 0;
    for _ in 0..60 {
        failed += usize::from(check(&channel).await.is_err());
    }
    assert!((1..=8).contains(&failed), "{failed} of 60 failed");
}

#[tokio::test]
async fn who_says_that_it_is_unavailable_failed_and_another_status_is_an_answer() {
    for (code, failures) in [(Code::Unavailable, 1), (Code::NotFound, 0)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_health, service) = tonic_health::server::health_reporter();
        let refuse = move |_: Request<()>| Err::<Request<()>, _>(Status::new(code, "no"));
        let service = tonic::service::interceptor::InterceptedService::new(service, refuse);
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let balancer = Balancer::fixed([instance("a", address)], RoundRobin::default());
        let status = check(&Channel::new(balancer.clone())).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, "no"));
        assert_eq!(standing(&balancer, "a"), (0, failures));
    }
}

#[tokio::test]
async fn with_nobody_an_rpc_is_unavailable_or_waits() {
    let a = Server::start().await;
    let (lists, receiver) = watch::channel(list([]));
    let channel = Channel::new(Balancer::follow(receiver, RoundRobin::default()));
    let status = check(&channel).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "no instance can be asked: there is no instance: the list is empty");

    let patient = channel.wait(LIMIT);
    let (answer, ()) = tokio::join!(check(&patient), async {
        tokio::task::yield_now().await;
        lists.send_replace(list([instance("a", a.address)]));
    });
    assert_eq!(answer.unwrap(), "a");
}

/// With a deadline of a second.
fn in_a_second() -> Request<HealthCheckRequest> {
    let mut request = Request::new(HealthCheckRequest::default());
    request.set_timeout(Duration::from_secs(1));
    request
}

#[tokio::test(start_paused = true)]
async fn an_rpc_waits_for_somebody_no_longer_than_its_deadline() {
    let (_lists, receiver) = watch::channel(list([]));
    let channel = Channel::new(Balancer::follow(receiver, RoundRobin::default())).wait(LIMIT / 2);
    let start = Instant::now();
    let status = ask(&channel, in_a_second()).await.unwrap_err();
    assert_eq!((status.code(), start.elapsed().as_secs()), (Code::DeadlineExceeded, 1), "{status:?}");
    assert!(error_of(&status).is_none(), "nobody was to answer");
}

#[tokio::test(start_paused = true)]
async fn an_rpc_waits_for_a_connection_no_longer_than_its_deadline() {
    let balancer = Balancer::fixed([instance("a", "a:1")], RoundRobin::default());
    let channel = Channel::with_connections(balancer.clone(), |_| {
        let never = service_fn(|_: Uri| pending::<io::Result<TokioIo<TcpStream>>>());
        Ok(Endpoint::from_static("http://a:1").connect_with_connector_lazy(never))
    });
    let start = Instant::now();
    let status = ask(&channel, in_a_second()).await.unwrap_err();
    assert_eq!((status.code(), start.elapsed().as_secs()), (Code::DeadlineExceeded, 1), "{status:?}");
    // It is told who took so long, and counted.
    assert!(status.message().starts_with("instance a did not answer: "), "{status:?}");
    let error = error_of(&status).unwrap();
    assert_eq!((error.instance().unwrap().as_str(), error.is_unsent()), ("a", false));
    assert_eq!(standing(&balancer, "a"), (0, 1));
}

#[tokio::test]
async fn an_rpc_waits_for_the_head_of_the_answer_no_longer_than_its_deadline() {
    // Takes connections, and says nothing.
    let (socket, address) = taken();
    let _listener = socket.listen(16).unwrap();
    let balancer = Balancer::fixed([instance("a", address)], RoundRobin::default());
    let status = ask(&Channel::new(balancer.clone()), in_a_second()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert!(status.message().starts_with("instance a did not answer: "), "{status:?}");
    assert_eq!(standing(&balancer, "a"), (0, 1));
}

#[tokio::test]
async fn a_connection_is_closed_when_its_instance_left_and_its_streams_are_over() {
    let (a, b) = (Server::start().await, Server::start().await);
    let (lists, receiver) = watch::channel(list([instance("a", a.address)]));
    let channel = Channel::new(Balancer::follow(receiver, RoundRobin::default()));
    let mut client = HealthClient::new(channel.clone());
    let mut stream =
        within("a stream", client.watch(HealthCheckRequest::default())).await.unwrap().into_inner();
    assert!(within("a message", stream.message()).await.unwrap().is_some());

    // Somebody else under the same id, elsewhere.
    lists.send_replace(list([instance("a", b.address)]));
    until("it is forgotten", || channel.endpoints() == 0).await;
    assert_eq!(check(&channel).await.unwrap(), "a");
    assert_eq!((a.accepted.load(SeqCst), b.accepted.load(SeqCst)), (1, 1));

    // What runs goes on.
    a.health.set_service_status("", ServingStatus::NotServing).await;
    assert!(within("a message", stream.message()).await.unwrap().is_some());
    assert_eq!(a.open.load(SeqCst), 1);
    drop(stream);
    until("its connection is closed", || a.open.load(SeqCst) == 0).await;

    lists.send_replace(list([]));
    until("the other one, too, which nobody uses", || b.open.load(SeqCst) == 0).await;
}

#[tokio::test]
async fn a_second_try_goes_elsewhere_and_a_key_is_read_from_the_metadata() {
    let (a, b) = (Server::start().await, Server::start().await);
    let balancer = Balancer::fixed([instance("a", a.address), instance("b", b.address)], Hash::by_key());
    let channel =
        Channel::with_endpoints(balancer.clone(), |endpoint, _| endpoint.timeout(Duration::from_secs(30)))
            .key(|request| request.headers().get("user").map(|user| Key::Bytes(user.as_bytes())));
    for user in ["1", "2", "3", "4", "5"] {
        let owner = balancer.pick(&loadbalance::Request::keyed(user)).unwrap().id.to_string();
        let tried = Tried::default();
        let request = || {
            let mut request = Request::new(HealthCheckRequest::default());
            request.metadata_mut().insert("user", user.parse().unwrap());
            request.extensions_mut().insert(tried.clone());
            request
        };
        assert_eq!(ask(&channel, request()).await.unwrap(), owner);
        assert_ne!(ask(&channel, request()).await.unwrap(), owner);
        let both = ["a", "b"].map(|name| InstanceId::parse(name).unwrap());
        assert_eq!(tried.ids(), both.into());
        let status = ask(&channel, request()).await.unwrap_err();
        assert!(status.message().contains("everybody who could be picked was tried already"), "{status:?}");
    }
}

#[tokio::test]
async fn what_no_second_try_helps_is_not_called_unavailable() {
    let balancer = Balancer::fixed([instance("a", "127.0.0.1:1")], Hash::by_key());
    let status = check(&Channel::new(balancer)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("needs"), "{status:?}");

    let balancer = Balancer::fixed([instance("a", "127.0.0.1:1")], NotThis);
    let status = check(&Channel::new(balancer)).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
}

/// Takes nobody.
struct NotThis;

impl loadbalance::Algorithm for NotThis {
    fn name(&self) -> &str {
        "not this"
    }

    fn picker(&self, _: loadbalance::Candidates) -> Arc<dyn loadbalance::Picker> {
        Arc::new(Self)
    }
}

impl loadbalance::Picker for NotThis {
    fn pick(&self, _: &loadbalance::Request<'_>) -> Option<usize> {
        None
    }
}
