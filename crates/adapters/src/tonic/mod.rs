//! A channel for clients of gRPC that follows a service.

mod connection;

use std::error::Error as _;
use std::iter::successors;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use ::tonic::body::Body;
use ::tonic::transport;
use ::tonic::transport::Endpoint;
use ::tonic::{Code, ConnectError, Status};
use http::{HeaderMap, Request, Response};
use loadbalance::{Balancer, Instance, InstanceId, Key, PickError};
use tokio::time::{Instant, sleep_until};
use tower::{BoxError, Service};

use self::connection::Connection;
use crate::authority::authority;
use crate::tower::{Balance, Blame, CompleteOnBody, Error, InFlight};

/// How long a connection may take to be made, unless an endpoint says something else.
const CONNECT: Duration = Duration::from_secs(5);

/// A channel in which a [`Balancer`] picks the instance for each RPC: for `SomethingClient::new` of generated code.
///
/// Each instance has one connection (of tonic's own channel), made for its first RPC and again when it broke. An instance that cannot
/// be reached, or answers `UNAVAILABLE`, counts as failed for the balancer and stays: tonic's `balance_channel` waits for any that is ready, and
/// picks by nothing else. A connection whose instance may not be picked any more, or is elsewhere, is closed when its RPCs are
/// over. An RPC counts as in flight until its trailers, or until its stream is dropped.
///
/// A deadline (`grpc-timeout`, by `tonic::Request::set_timeout`) bounds the waiting for somebody to ask, the connecting, and the head of the answer:
/// then the RPC is over with `DEADLINE_EXCEEDED`, in flight no more, and counts as failed for the instance that was asked. The body of the answer, a stream's messages
/// for example, is not bounded here: servers heed the deadline, which they are told, or drop the stream when it is enough.
///
/// Nothing is tried again at somebody else: an RPC to an instance that crashed, and is in the list still, fails with `UNAVAILABLE`. It fails by an
/// attempt to connect of its own time: where earlier RPCs gave one up that they waited for, and it failed, the next RPC connects anew.
/// Put a [`Tried`](crate::tower::Tried) among the extensions of a request, and a second one with a clone of it goes to somebody
/// else. [`error_of`] a status says whether anything was sent: where [nothing was](Error::is_unsent), the second try is safe for any RPC, for none is
/// done twice. What is wrong with the request itself, its messages included, is no failure of the instance.
/// Who answered is in the extensions of the response ([`AnsweredBy`](crate::tower::AnsweredBy)).
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
pub struct Channel(Balance<Connection, Request<Body>, CompleteOnBody>);

impl Channel {
    /// A channel to those whom `balancer` picks, without TLS.
    ///
    /// An RPC that has no deadline may take as long as it likes, and nothing tells of an instance that vanished without a word while one runs: set a time-out for each
    /// (`grpc-timeout`, by `tonic::Request::set_timeout`), or [`with_endpoints`](Self::with_endpoints) with `timeout`, and for
    /// streams `http2_keep_alive_interval`. That is not on by default, for servers may close connections on which it is too frequent (those of
    /// gRPC's Go library below 5 minutes, unless told otherwise).
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
    ///
    /// # Examples
    ///
    /// With the feature `tls-ring` (or `tls-aws-lc`) of tonic, where all instances have a certificate for the one name. The TLS of `zk-session` is by aws-lc: take
    /// that with it. A program that has both calls rustls' `CryptoProvider::install_default` first, or tonic panics.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use adapters::tonic::Channel;
    /// use loadbalance::{Balancer, Instance};
    /// use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
    ///
    /// # fn example(balancer: Balancer, ca_pem: String) -> Channel {
    /// let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca_pem)).domain_name("time.internal");
    /// Channel::with_connections(balancer, move |instance: &Instance| {
    ///     let address = instance.data.address.as_ref().ok_or("it has no address")?;
    ///     let endpoint = Endpoint::from_shared(format!("https://{address}"))?.connect_timeout(Duration::from_secs(5));
    ///     Ok(endpoint.tls_config(tls.clone())?.connect_lazy())
    /// })
    /// # }
    /// ```
    pub fn with_connections(
        balancer: Balancer,
        make: impl Fn(&Instance) -> Result<transport::Channel, BoxError> + Send + Sync + 'static,
    ) -> Self {
        let make = move |instance: &Instance| make(instance).map(Connection::new);
        Self(Balance::http(balancer, make).complete(CompleteOnBody::grpc()).blame(blame))
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
    /// That the request has no key which the algorithm needs is `INVALID_ARGUMENT`, at once.
    #[must_use]
    pub fn wait(self, limit: Duration) -> Self {
        Self(self.0.wait(limit))
    }

    /// Who picks.
    pub fn balancer(&self) -> &Balancer {
        self.0.balancer()
    }

    /// Makes the channel to an instance again also when its metadata change, for those who read them in `adjust` or `make`. Default: when its address or its
    /// unique code change.
    #[must_use]
    pub fn renew_by_metadata(self) -> Self {
        Self(self.0.renew_by_metadata())
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
        // None: as long as it takes.
        let deadline = deadline(request.headers()).and_then(|limit| Instant::now().checked_add(limit));
        let Some(deadline) = deadline else {
            let answer = self.0.call(request);
            return Box::pin(async move { answer.await.map_err(status) });
        };
        let asked = Arc::new(OnceLock::new());
        let whom = asked.clone();
        let answer = self.0.ask(request, move |id| {
            // Set once, here.
            let _ = whom.set(id.clone());
        });
        Box::pin(async move {
            tokio::select! {
                biased;
                // First: tonic's own timer, which starts with the connection, has it that the RPC was cancelled.
                () = sleep_until(deadline) => Err(late(asked.get())),
                answer = answer => answer.map_err(status),
            }
        })
    }
}

/// How long an RPC may take, by the rules of gRPC. What is malformed is left to tonic, which passes over it.
fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// What became of an RPC whose deadline has passed.
fn late(asked: Option<&InstanceId>) -> Status {
    match asked {
        None => Status::deadline_exceeded("there was no instance to ask until the deadline of the RPC"),
        Some(id) => {
            let source = Status::deadline_exceeded("the deadline of the RPC has passed").into();
            status(Error::Failed { id: id.clone(), unsent: false, source })
        }
    }
}

/// What became of an RPC of a [`Channel`] that failed here: who was to answer, and whether anything was sent. `None` for what an instance answered,
/// and where the deadline passed before there was one to ask: nothing was sent then.
///
/// # Examples
///
/// ```
/// use adapters::{tonic::Channel, tonic::error_of, tower::Tried};
/// use tonic::{Request, Response, Status};
/// use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_client::HealthClient};
///
/// /// Asks somebody else where nothing was sent, until nobody is left.
/// async fn check(client: &mut HealthClient<Channel>) -> Result<Response<HealthCheckResponse>, Status> {
///     let tried = Tried::default();
///     loop {
///         let mut request = Request::new(HealthCheckRequest::default());
///         request.extensions_mut().insert(tried.clone());
///         match client.check(request).await {
///             Err(status) if error_of(&status).is_some_and(|error| error.instance().is_some() && error.is_unsent()) => {}
///             answer => return answer,
///         }
///     }
/// }
/// ```
pub fn error_of(status: &Status) -> Option<&Error> {
    status.source()?.downcast_ref()
}

/// Whose fault an error of tonic's channel is. Nothing was sent when there is no connection; a stream that we broke off ourselves is one whose
/// messages could not be made.
fn blame(error: &(dyn std::error::Error + 'static)) -> Blame {
    for cause in successors(Some(error), |&error| error.source()) {
        if cause.is::<ConnectError>() {
            return Blame::Unreached;
        }
        let is_ours = |error: &h2::Error| error.is_reset() && !error.is_remote() && !error.is_library();
        if cause.downcast_ref().is_some_and(is_ours) {
            return Blame::Asker;
        }
    }
    Blame::Instance
}

/// What a client of gRPC understands: `UNAVAILABLE` where there is nobody to ask now, else what tonic makes of what happened. The error
/// is its source.
fn status(error: Error) -> Status {
    let error = Arc::new(error);
    let mut status = match &*error {
        Error::Nobody(why) => Status::new(nobody(why), format!("{error}: {why}")),
        Error::Unusable { source, .. } => Status::unavailable(format!("{error}: {source}")),
        Error::Failed { source, .. } => failed(&error, &**source),
    };
    status.set_source(error);
    status
}

/// Clients try again what is unavailable: only where that may help.
fn nobody(why: &PickError) -> Code {
    match why {
        PickError::KeyMissing { .. } => Code::InvalidArgument,
        PickError::Declined { .. } => Code::Internal,
        // What else there may be one day is not known to be the client's fault.
        _ => Code::Unavailable,
    }
}

/// With the name of the instance, which tonic does not know, and with what is behind "transport error".
fn failed(error: &Arc<Error>, source: &(dyn std::error::Error + 'static)) -> Status {
    // tonic looks for what it knows among all causes.
    let known = Status::try_from_error(Box::new(error.clone()));
    let status = known.unwrap_or_else(|_| Status::unknown(source.to_string()));
    let cause = source.source().map(ToString::to_string);
    let cause = cause.filter(|cause| cause != status.message()).map(|cause| format!(": {cause}"));
    let message = format!("{error}: {}{}", status.message(), cause.unwrap_or_default());
    let details = status.details().to_vec().into();
    Status::with_details_and_metadata(status.code(), message, details, status.metadata().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_read_as_grpc_has_it() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3_600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("4m", Some(Duration::from_millis(4))),
            ("5u", Some(Duration::from_micros(5))),
            ("6n", Some(Duration::from_nanos(6))),
            ("0S", Some(Duration::ZERO)),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3_600))),
            ("100000000n", None),
            ("", None),
            ("S", None),
            ("1", None),
            ("1s", None),
            ("+1S", None),
            ("1 S", None),
        ] {
            let headers = HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), text.parse().unwrap())]);
            assert_eq!(deadline(&headers), expected, "{text:?}");
        }
        assert_eq!(deadline(&HeaderMap::new()), None);
    }
}
