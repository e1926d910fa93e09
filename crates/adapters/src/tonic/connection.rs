//! tonic's channel to one instance, in which an RPC fails by its own attempt to connect.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use ::tonic::body::Body;
use ::tonic::{Status, transport};
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tower::{Service, ServiceExt};

use super::blame;
use crate::tower::Blame;

/// tonic's channel to an instance, in which an RPC fails by its own attempt to connect.
///
/// tonic goes on with an attempt only while an RPC waits for it. One that all have given up stands still, and how it ended is told to
/// whoever comes next, however much later that is. An RPC that may be told of such a one connects once more.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    channel: transport::Channel,
    left: Arc<Left>,
}

impl Connection {
    pub(super) fn new(channel: transport::Channel) -> Self {
        Self { channel, left: Arc::default() }
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Body>;
    type Error = transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, transport::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), transport::Error>> {
        self.channel.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The clone that was asked whether it is ready.
        let other = self.channel.clone();
        let mut channel = std::mem::replace(&mut self.channel, other);
        let waiting = Waiting::new(&self.left);
        Box::pin(async move {
            let answer = if waiting.may_meet_what_was_left() {
                once_more(channel, request).await
            } else {
                channel.call(request).await
            };
            waiting.ended();
            answer
        })
    }
}

/// Sends it, and once more where there was no connection to send it over.
async fn once_more(
    mut channel: transport::Channel,
    request: Request<Body>,
) -> Result<Response<Body>, transport::Error> {
    let (head, body) = request.into_parts();
    let body = Shared(Arc::new(Mutex::new(body)));
    let again = Request::from_parts(head.clone(), Body::new(body.clone()));
    match channel.call(Request::from_parts(head, Body::new(body))).await {
        Err(error) if blame(&error) == Blame::Unreached => channel.ready().await?.call(again).await,
        answer => answer,
    }
}

/// How many RPCs were given up, each of which may have left an attempt to connect behind.
#[derive(Debug, Default)]
struct Left {
    so_far: AtomicU64,
    /// Of so many it is known that nothing is left: an RPC that began after them came to its end.
    met: AtomicU64,
}

/// An RPC that has not come to its end. Dropped, it is given up.
struct Waiting {
    left: Arc<Left>,
    before: u64,
    is_over: bool,
}

impl Waiting {
    fn new(left: &Arc<Left>) -> Self {
        Self { left: left.clone(), before: left.so_far.load(SeqCst), is_over: false }
    }

    fn may_meet_what_was_left(&self) -> bool {
        self.before > self.left.met.load(SeqCst)
    }

    fn ended(mut self) {
        self.left.met.fetch_max(self.before, SeqCst);
        self.is_over = true;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_over {
            self.left.so_far.fetch_add(1, SeqCst);
        }
    }
}

/// A body that outlives the request that has it: whole still, where nothing was sent.
#[derive(Clone)]
struct Shared(Arc<Mutex<Body>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl http_body::Body for Shared {
    type Data = <Body as http_body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        Pin::new(&mut *self.lock()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().size_hint()
    }
}
