//! A client of HTTP/1.1 that follows a service.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ::hyper::body::Incoming;
use http::header::HOST;
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version};
use http_body::Body;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use loadbalance::{Balancer, Instance};
use tower::{BoxError, Service};

use crate::authority::authority;
use crate::tower::{Balance, Blame, CompleteOnBody};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a connection is kept without a request: for less than servers keep it, or a request goes out while the server closes. Those of hyper, and so
/// the server for axum here, do so after 30 s.
const IDLE: Duration = Duration::from_secs(20);

/// A client of HTTP/1.1: a service of tower from requests to answers.
///
/// The address of a request need have no more than a path: who answers is picked. A host that it names all the same is told to the
/// instance in the header `host`, and decides nothing.
pub type Client<B, C = HttpConnector> = Balance<ToInstance<B, C>, Request<B>, CompleteOnBody>;

/// A client without TLS for those whom `balancer` picks, each with connections of its own, that are kept for the next request for 20 s.
///
/// A request for `https://` is refused ([`Unfit`]) and not sent in the clear; [`client_with`] is for TLS.
/// How long an answer may take is for the caller to say: `tower::timeout` around this counts a late answer as a failure of the
/// instance. hyper sends a request again over a new connection when the instance closed the one that was kept before
/// anything was sent. Where no connection can be made nothing is tried again: put [`Again`](crate::tower::Again) around this. What is wrong with the request itself,
/// its body included, is no failure of the instance. A connection that is upgraded counts no more once its head has come.
///
/// # Panics
///
/// Outside a tokio runtime.
///
/// # Examples
///
/// ```no_run
/// use http_body_util::{BodyExt, Empty};
/// use loadbalance::{Balancer, LeastConnections};
/// use tower::{Service, ServiceExt};
///
/// # async fn example(discovery: registry::Discovery) -> Result<(), tower::BoxError> {
/// let balancer = Balancer::follow(discovery.instances(), LeastConnections);
/// let mut client = adapters::hyper::client(balancer).wait(std::time::Duration::from_secs(2));
/// let request = http::Request::get("/time").body(Empty::<bytes::Bytes>::new())?;
/// let answer = client.ready().await?.call(request).await?;
/// println!("{:?}", answer.into_body().collect().await?.to_bytes()); // in flight until here
/// # Ok(())
/// # }
/// ```
pub fn client<B>(balancer: Balancer) -> Client<B>
where
    B: Body + Send + 'static + Unpin,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    client_with(balancer, Scheme::HTTP, |_| {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        Ok(connector)
    })
}

/// The same over connections that are made by what `connect` gives for each instance: by TLS, for example.
///
/// It is asked to connect to the address of the instance under this scheme, and says itself how long that may take. Requests that name another
/// scheme are refused ([`Unfit`]). It is made anew when the instance is elsewhere, or says something else of itself where
/// [`renew_by_metadata`](Balance::renew_by_metadata) was said. All that is promised of [`client`] holds, and a TLS that cannot be agreed on is a connection that
/// cannot be made: nothing was sent, and [`Again`](crate::tower::Again) asks somebody else.
///
/// # Panics
///
/// Outside a tokio runtime.
///
/// # Examples
///
/// With `hyper-rustls`; every instance has a certificate for the one name:
///
/// ```no_run
/// use std::time::Duration;
///
/// use http::uri::Scheme;
/// use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
/// use hyper_util::client::legacy::connect::HttpConnector;
/// # use adapters::hyper::Client;
/// # use http_body_util::Empty;
/// use loadbalance::Balancer;
/// # use tokio_rustls::rustls;
///
/// # fn example(balancer: Balancer, tls: rustls::ClientConfig) -> Result<Client<Empty<bytes::Bytes>, hyper_rustls::HttpsConnector<HttpConnector>>, Box<dyn std::error::Error>> {
/// let mut tcp = HttpConnector::new();
/// tcp.set_connect_timeout(Some(Duration::from_secs(5)));
/// tcp.enforce_http(false); // what is around it knows what https:// is
/// let https = HttpsConnectorBuilder::new()
///     .with_tls_config(tls)
///     .https_only()
///     .with_server_name_resolver(FixedServerNameResolver::new("time.internal".try_into()?))
///     .enable_http1()
///     .wrap_connector(tcp);
/// let client = adapters::hyper::client_with(balancer, Scheme::HTTPS, move |_| Ok(https.clone()));
/// # Ok(client)
/// # }
/// ```
pub fn client_with<B, C>(
    balancer: Balancer,
    scheme: Scheme,
    connect: impl Fn(&Instance) -> Result<C, BoxError> + Send + Sync + 'static,
) -> Client<B, C>
where
    B: Body + Send + 'static + Unpin,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    C: Connect + Clone + Send + Sync + 'static,
{
    let to = move |instance: &Instance| {
        let there = Place { scheme: scheme.clone(), authority: authority(instance)? };
        Ok(ToInstance::new(there, connect(instance)?))
    };
    Balance::http(balancer, to).blame(blame)
}

/// A client for one instance. Once it is let go of, so are its connections, when their requests are over.
pub struct ToInstance<B, C = HttpConnector> {
    client: legacy::Client<C, B>,
    there: Place,
}

/// Where requests go, and how.
#[derive(Clone, Debug)]
struct Place {
    scheme: Scheme,
    authority: Authority,
}

impl<B, C> ToInstance<B, C>
where
    B: Body + Send + 'static + Unpin,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    C: Connect + Clone,
{
    fn new(there: Place, connector: C) -> Self {
        let mut client = legacy::Client::builder(TokioExecutor::new());
        Self { client: client.pool_idle_timeout(IDLE).pool_timer(TokioTimer::new()).build(connector), there }
    }
}

impl<B, C> Service<Request<B>> for ToInstance<B, C>
where
    B: Body + Send + 'static + Unpin,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    C: Connect + Clone + Send + Sync + 'static,
{
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if let Err(unfit) = fit(&request, &self.there.scheme) {
            return Box::pin(std::future::ready(Err(unfit.into())));
        }
        readdress(&mut request, &self.there);
        let answer = self.client.request(request);
        Box::pin(async move { Ok(answer.await?) })
    }
}

/// Why a request cannot be sent to anybody. It is the source of an [`Error::Failed`](crate::tower::Error::Failed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// It names another scheme than that of the client: `https` where this speaks plain HTTP, for example.
    #[error(
        "the request names another scheme than that of the client, which is http, without TLS, unless it was made with another"
    )]
    Scheme,
    /// It is of another version than HTTP/1.
    #[error("the request is of another version than HTTP/1, which this client speaks")]
    Version,
}

fn fit<B>(request: &Request<B>, spoken: &Scheme) -> Result<(), Unfit> {
    if request.uri().scheme().is_some_and(|scheme| scheme != spoken) {
        return Err(Unfit::Scheme);
    }
    match request.version() {
        Version::HTTP_10 | Version::HTTP_11 => Ok(()),
        _ => Err(Unfit::Version),
    }
}

/// Whose fault an error of hyper-util's `legacy::Client` is: of whoever asks when hyper says that it is its user's; and nothing was sent when there
/// was no connection. [`client`] and [`client_with`] have it; it is for a client of your own in [`Balance::http`](crate::tower::Balance::http), which
/// has to have it for [`Again`](crate::tower::Again) to know when it may try again.
///
/// ```
/// # fn example<S: Clone + Send + 'static, B>(
/// #     balancer: loadbalance::Balancer,
/// #     make: impl Fn(&loadbalance::Instance) -> Result<S, tower::BoxError> + Send + Sync + 'static,
/// # ) {
/// use adapters::tower::{Balance, CompleteOnBody};
///
/// let balance: Balance<S, http::Request<B>, CompleteOnBody> =
///     Balance::http(balancer, make).blame(adapters::hyper::blame);
/// # drop(balance);
/// # }
/// ```
pub fn blame(error: &(dyn Error + 'static)) -> Blame {
    if error.is::<Unfit>() {
        return Blame::Asker;
    }
    if error.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect) {
        return Blame::Unreached;
    }
    let is_ours = |cause: &(dyn Error + 'static)| cause.downcast_ref().is_some_and(::hyper::Error::is_user);
    if error.source().is_some_and(is_ours) { Blame::Asker } else { Blame::Instance }
}

/// Sends a request there, and tells whom it named.
fn readdress<B>(request: &mut Request<B>, to: &Place) {
    let host = |named: &Authority| HeaderValue::from_str(without_user(named));
    let named = request.uri().authority().map(host);
    if let (Some(Ok(named)), false) = (named, request.headers().contains_key(HOST)) {
        request.headers_mut().insert(HOST, named);
    }
    let mut parts = Parts::default();
    parts.scheme = Some(to.scheme.clone());
    parts.authority = Some(to.authority.clone());
    let path = request.uri().path_and_query().cloned();
    parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    *request.uri_mut() = Uri::from_parts(parts).expect("a scheme, an authority and a path are a URI");
}

/// Who asks is not told to the server in this way.
fn without_user(authority: &Authority) -> &str {
    let text = authority.as_str();
    text.rsplit_once('@').map_or(text, |(_, host)| host)
}

impl<B, C: Clone> Clone for ToInstance<B, C> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), there: self.there.clone() }
    }
}

impl<B, C> fmt::Debug for ToInstance<B, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToInstance").field("there", &self.there).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_of_version_1_and_of_the_scheme_is_sent() {
        for (spoken, uri, version, expected) in [
            (Scheme::HTTP, "/a", Version::HTTP_11, Ok(())),
            (Scheme::HTTP, "http://time/a", Version::HTTP_10, Ok(())),
            (Scheme::HTTP, "https://time/a", Version::HTTP_11, Err(Unfit::Scheme)),
            (Scheme::HTTP, "ws://time/a", Version::HTTP_11, Err(Unfit::Scheme)),
            (Scheme::HTTP, "/a", Version::HTTP_2, Err(Unfit::Version)),
            (Scheme::HTTPS, "/a", Version::HTTP_11, Ok(())),
            (Scheme::HTTPS, "https://time/a", Version::HTTP_11, Ok(())),
            (Scheme::HTTPS, "http://time/a", Version::HTTP_11, Err(Unfit::Scheme)),
        ] {
            let request = Request::get(uri).version(version).body(()).unwrap();
            assert_eq!(fit(&request, &spoken), expected, "{spoken} {uri} {version:?}");
        }
    }

    #[test]
    fn a_request_goes_to_the_instance_and_tells_whom_it_named() {
        let to = Place { scheme: Scheme::HTTP, authority: "[::1]:80".parse().unwrap() };
        for (uri, host, expected, told) in [
            ("/a?b=c", None, "http://[::1]:80/a?b=c", None),
            ("http://time/a?b=c", None, "http://[::1]:80/a?b=c", Some("time")),
            ("http://time:81", Some("shop"), "http://[::1]:80/", Some("shop")),
            ("http://user@time/", None, "http://[::1]:80/", Some("time")),
        ] {
            let mut request = Request::get(uri).body(()).unwrap();
            if let Some(host) = host {
                request.headers_mut().insert(HOST, HeaderValue::from_static(host));
            }
            readdress(&mut request, &to);
            assert_eq!(request.uri(), expected);
            assert_eq!(request.headers().get(HOST).map(|host| host.to_str().unwrap()), told);
        }
    }
}
