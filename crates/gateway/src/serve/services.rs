//! What can be served.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::CONTENT_LENGTH;
use hyper::{Request, Response, StatusCode};

use super::Peer;
use crate::App;
use crate::proxy::{self, BoxError, Proxy};

/// Answers requests. A clone is the same service.
pub trait Serve: Clone + Send + Sync + 'static {
    /// What answers are made of.
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static;

    /// What is known of who is at the other end of a connection.
    type Client: Clone + Send + Sync + 'static;

    /// Meets who is at the other end of a connection, once for all requests that come on it.
    fn meet(&self, peer: Peer) -> Self::Client;

    /// Answers one request.
    fn serve(
        &self,
        request: Request<Incoming>,
        client: Self::Client,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// Gives up something that it holds and can do without, for there are no files or memory for one more connection. Gives whether
    /// there was something.
    fn make_room(&self) -> bool {
        false
    }
}

/// A router of axum, which finds the [`Peer`] among the extensions of a request.
impl Serve for Router {
    type Body = axum::body::Body;
    type Client = Peer;

    fn meet(&self, peer: Peer) -> Peer {
        peer
    }

    async fn serve(&self, mut request: Request<Incoming>, peer: Peer) -> Response<Self::Body> {
        request.extensions_mut().insert(peer);
        // A router is always ready, and never fails.
        match tower::Service::call(&mut self.clone(), request).await {
            Ok(mut response) => {
                // axum says there how long a body is that may not be; for HTTP/1 alone hyper leaves that out (RFC 9110, 8.6).
                if matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
                    response.headers_mut().remove(CONTENT_LENGTH);
                }
                response
            }
            Err(never) => match never {},
        }
    }
}

impl Serve for Proxy {
    type Body = proxy::Body;
    type Client = Arc<proxy::Peer>;

    fn meet(&self, peer: Peer) -> Self::Client {
        Arc::new(proxy::Peer::new(peer.address, peer.secure))
    }

    async fn serve(&self, request: Request<Incoming>, peer: Self::Client) -> Response<Self::Body> {
        self.handle(request, &peer).await
    }

    fn make_room(&self) -> bool {
        Self::make_room(self)
    }
}

/// A service beside the proxy that an [`App`] tells of, if it does: the files of a process are there for both.
#[derive(Clone, Debug)]
pub struct BesideProxy<S> {
    /// What is served.
    pub service: S,
    /// What knows the proxy.
    pub app: Arc<App>,
}

impl<S: Serve> Serve for BesideProxy<S> {
    type Body = S::Body;
    type Client = S::Client;

    fn meet(&self, peer: Peer) -> S::Client {
        self.service.meet(peer)
    }

    async fn serve(&self, request: Request<Incoming>, client: S::Client) -> Response<S::Body> {
        self.service.serve(request, client).await
    }

    fn make_room(&self) -> bool {
        self.service.make_room() || self.app.proxy.get().is_some_and(Proxy::make_room)
    }
}

/// A service that can be replaced while it serves. A request that has begun ends with the one that it began with.
#[derive(Debug)]
pub struct Replaceable<S>(Arc<ArcSwap<S>>);

impl<S> Replaceable<S> {
    /// Serves as this one does.
    pub fn new(service: S) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(service)))
    }

    /// Serves as another one does from now on.
    pub fn replace(&self, service: S) {
        self.0.store(Arc::new(service));
    }
}

impl<S> Clone for Replaceable<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Serve> Serve for Replaceable<S> {
    type Body = S::Body;
    type Client = S::Client;

    fn meet(&self, peer: Peer) -> S::Client {
        self.0.load().meet(peer)
    }

    async fn serve(&self, request: Request<Incoming>, client: S::Client) -> Response<S::Body> {
        self.0.load_full().serve(request, client).await
    }

    fn make_room(&self) -> bool {
        self.0.load().make_room()
    }
}
