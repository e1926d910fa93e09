//! A client of HTTP/1.1 that follows a service.

use std::error::Error;
use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

use ::hyper::body::Incoming;
use http::header::HOST;
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use http_body::Body;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use loadbalance::{Balancer, Instance};
use tower::{BoxError, Service};

use crate::authority::authority;
use crate::tower::{Balance, CompleteOnBody};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// A client of HTTP/1.1: a service of tower from requests to answers.
///
/// The address of a request need have no more than a path: who answers is picked. A host that it names all the same is told to the
/// instance in the header `host`, and decides nothing.
pub type Client<B> = Balance<ToInstance<B>, Request<B>, CompleteOnBody>;

/// A client for those whom `balancer` picks, each with connections of its own, that are kept for the next request.
///
/// How long an answer may take is for the caller to say: `tower::timeout` around this counts a late answer as a failure of the
/// instance. hyper sends a request again over a new connection when the instance closed the one that was kept before
/// anything was sent.
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
    Balance::http(balancer, |instance| ToInstance::new(instance))
}

/// A client for one instance. Once it is let go of, so are its connections, when their requests are over.
pub struct ToInstance<B> {
    client: legacy::Client<HttpConnector, B>,
    authority: Authority,
}

impl<B> ToInstance<B>
where
    B: Body + Send + 'static + Unpin,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn new(instance: &Instance) -> Result<Self, BoxError> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let client =
            legacy::Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Ok(Self { client, authority: authority(instance)? })
    }
}

impl<B> Service<Request<B>> for ToInstance<B>
where
    B: Body + Send + 'static + Unpin,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<Incoming>;
    type Error = legacy::Error;
    type Future = legacy::ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), legacy::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        readdress(&mut request, &self.authority);
        self.client.request(request)
    }
}

/// Sends a request there, and tells whom it named.
fn readdress<B>(request: &mut Request<B>, to: &Authority) {
    let host = |named: &Authority| HeaderValue::from_str(without_user(named));
    let named = request.uri().authority().map(host);
    if let (Some(Ok(named)), false) = (named, request.headers().contains_key(HOST)) {
        request.headers_mut().insert(HOST, named);
    }
    let mut parts = Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(to.clone());
    let path = request.uri().path_and_query().cloned();
    parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    *request.uri_mut() = Uri::from_parts(parts).expect("a scheme, an authority and a path are a URI");
}

/// Who asks is not told to the server in this way.
fn without_user(authority: &Authority) -> &str {
    let text = authority.as_str();
    text.rsplit_once('@').map_or(text, |(_, host)| host)
}

impl<B> Clone for ToInstance<B> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), authority: self.authority.clone() }
    }
}

impl<B> fmt::Debug for ToInstance<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToInstance").field("authority", &self.authority).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_to_the_instance_and_tells_whom_it_named() {
        let to = "[::1]:80".parse().unwrap();
        for (uri, host, expected, told) in [
            ("/a?b=c", None, "http://[::1]:80/a?b=c", None),
            ("http://time/a?b=c", None, "http://[::1]:80/a?b=c", Some("time")),
            ("http://time:81", Some("shop"), "http://[::1]:80/", Some("shop")),
            ("https://user@time/", None, "http://[::1]:80/", Some("time")),
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
