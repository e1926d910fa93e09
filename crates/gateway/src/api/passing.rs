//! What every request passes: the guard before, and what counts it behind.

use std::convert::Infallible;
use std::future::{Ready, ready as at_once};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONNECTION, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Version};
use axum::response::{IntoResponse, Response};
use futures::future::Either;
use tower::{Layer, Service};

use super::App;
use crate::guard::{Guard, Told};
use crate::metrics::Arrived;

/// Lets pass what may be asked, and counts what was answered.
///
/// A service of its own, and no function in the hands of axum: that would put what is behind it, and what comes of it, in boxes of their own
/// for every request.
#[derive(Clone, Debug)]
pub(super) struct Passing(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    app: Arc<App>,
    guard: Guard,
}

/// A handler behind it.
#[derive(Clone, Debug)]
pub(super) struct Behind<S> {
    shared: Arc<Shared>,
    handler: S,
}

/// A request that is answered.
pub(super) struct Answering<F> {
    shared: Arc<Shared>,
    /// What is counted of it, once.
    arrived: Option<Arrived>,
    /// By the handler, or by the guard.
    answer: Either<F, Ready<Answer>>,
}

type Answer = Result<Response, Infallible>;

impl Passing {
    pub(super) fn new(app: Arc<App>, guard: Guard) -> Self {
        Self(Arc::new(Shared { app, guard }))
    }
}

impl<S> Layer<S> for Passing {
    type Service = Behind<S>;

    fn layer(&self, handler: S) -> Behind<S> {
        Behind { shared: self.0.clone(), handler }
    }
}

impl<S> Service<Request> for Behind<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Unpin>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.handler.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let arrived = Some(Arrived::of(&request));
        let answer = match self.shared.guard.check(&request) {
            Ok(told) => {
                // One more for every request would cost as much as the guard does.
                if told != Told::All {
                    request.extensions_mut().insert(told);
                }
                Either::Left(self.handler.call(request))
            }
            Err(problem) => {
                let mut refused = problem.into_response();
                // A stranger is not to keep a place among the connections. HTTP/2 knows no such header.
                if request.version() <= Version::HTTP_11 {
                    refused.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Either::Right(at_once(Ok(refused)))
            }
        };
        Answering { shared: self.shared.clone(), arrived, answer }
    }
}

impl<F> Future for Answering<F>
where
    F: Future<Output = Answer> + Unpin,
{
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let Ok(mut response) = ready!(Pin::new(&mut self.answer).poll(cx));
        if let Some(arrived) = self.arrived.take() {
            self.shared.app.metrics.answered(arrived, response.status());
        }
        let headers = response.headers_mut();
        // A browser is not to take it for anything else than it says.
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // What is true now, also that there is no such thing, nobody is to be told later.
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        Poll::Ready(Ok(response))
    }
}
