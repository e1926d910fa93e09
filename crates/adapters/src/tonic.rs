//! A channel for clients of gRPC that follows a service.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::tonic::Status;
use ::tonic::body::Body;
use ::tonic::transport;
use ::tonic::transport::Endpoint;
use http::{Request, Response};
use loadbalance::{Balancer, Instance, Key};
use tower::{BoxError, Service};

use crate::authority::authority;
use crate::tower::{Balance, CompleteOnBody, Error, InFlight};

/// How long a connection may take to be made, unless an endpoint says something else.
const CONNECT: Duration = Duration::from_secs(5);

/// A channel in which a [`Balancer`] picks the instance for each RPC: for `SomethingClient::new` of generated code.
///
/// Each instance has one connection (of tonic's own channel), made for its first RPC and again when it broke. An instance that cannot
/// be reached, or answers `UNAVAILABLE`, counts as failed for the balancer and stays: tonic's `balance_channel` waits for any that is ready, and
/// picks by nothing else. A connection whose instance may not be picked any more, or is elsewhere, is closed when its RPCs are
/// over. An RPC counts as in flight until its trailers, or until its stream is dropped.
///
/// Put a [`Tried`](crate::tower::Tried) among the extensions of a request, and a second one with a clone of it goes to somebody
/// else. Who answered is in the extensions of the response ([`AnsweredBy`](crate::tower::AnsweredBy)).
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
///
/// use adapters::tonic::Channel;
/// use loadbalance::{Balancer, LeastConnections};
/// use tonic_health::pb::health_client::HealthClient;
///
/// # async fn example(discovery: registry::Discovery) -> Result<(), Box<dyn std::error::Error>> {
/// let balancer = Balancer::follow(discovery.instances(), LeastConnections);
/// let channel = Channel::with_endpoints(balancer, |endpoint, _| endpoint.timeout(Duration::from_secs(2)));
/// let mut client = HealthClient::new(channel.wait(Duration::from_secs(5)));
/// let answer = client.check(tonic_health::pb::HealthCheckRequest::default()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Channel(Balance<transport::Channel, Request<Body>, CompleteOnBody>);

impl Channel {
    /// A channel to those whom `balancer` picks, without TLS.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(balancer: Balancer) -> Self {
        Self::with_endpoints(balancer, |endpoint, _| endpoint)
    }

    /// The same with endpoints that `adjust` changes: time-outs, windows, keep-alive. The endpoint that it is given is that of the
    /// instance, whose connection may take 5 s to be made.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn with_endpoints(
        balancer: Balancer,
        adjust: impl Fn(Endpoint, &Instance) -> Endpoint + Send + Sync + 'static,
    ) -> Self {
        Self::with_connections(balancer, move |instance| {
            let endpoint = Endpoint::from_shared(format!("http://{}", authority(instance)?))?;
            Ok(adjust(endpoint.connect_timeout(CONNECT), instance).connect_lazy())
        })
    }

    /// The same with channels of tonic's that `make` gives for each instance: with TLS, for example. They are to connect lazily, for one
    /// is made while an RPC waits.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn with_connections(
        balancer: Balancer,
        make: impl Fn(&Instance) -> Result<transport::Channel, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Self(Balance::http(balancer, make).complete(CompleteOnBody::grpc()))
    }

    /// Chooses by what this finds in a request, for algorithms that need a key: in its metadata, which are its headers here, or its
    /// path.
    #[must_use]
    pub fn key(
        self,
        key: impl for<'r> Fn(&'r Request<Body>) -> Option<Key<'r>> + Send + Sync + 'static,
    ) -> Self {
        Self(self.0.key(key))
    }

    /// Lets an RPC wait so long for somebody to ask while there is nobody. Default: it does not wait, and fails with `UNAVAILABLE`.
    #[must_use]
    pub fn wait(self, limit: Duration) -> Self {
        Self(self.0.wait(limit))
    }

    /// Who picks.
    pub fn balancer(&self) -> &Balancer {
        self.0.balancer()
    }

    /// To how many instances there is a channel of tonic's now.
    pub fn endpoints(&self) -> usize {
        self.0.endpoints()
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<InFlight<Body>>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.0.poll_ready(cx).map_err(status)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.0.call(request);
        Box::pin(async move { answer.await.map_err(status) })
    }
}

/// What a client of gRPC understands: `UNAVAILABLE` where nothing was sent, else what tonic makes of what happened.
fn status(error: Error) -> Status {
    let told = error.to_string();
    let unavailable = |why: Arc<dyn std::error::Error + Send + Sync>| {
        let mut status = Status::unavailable(format!("{told}: {why}"));
        status.set_source(why);
        status
    };
    match error {
        Error::Nobody(why) => unavailable(Arc::new(why)),
        Error::Unusable { source, .. } => unavailable(source.into()),
        Error::Failed { source, .. } => failed(&told, source),
    }
}

/// With the name of the instance, which tonic does not know, and with what is behind "transport error".
fn failed(told: &str, source: BoxError) -> Status {
    let cause = source.source().map(ToString::to_string);
    let status = Status::from_error(source);
    let cause = cause.filter(|cause| cause != status.message()).map(|cause| format!(": {cause}"));
    let message = format!("{told}: {}{}", status.message(), cause.unwrap_or_default());
    let mut named = Status::with_metadata(status.code(), message, status.metadata().clone());
    named.set_source(Arc::new(status));
    named
}
