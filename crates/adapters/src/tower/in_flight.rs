//! The body of an answer, until whose end the request counts.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use loadbalance::Picked;
use pin_project_lite::pin_project;

use super::completion::Judge;

pin_project! {
    /// The body of an answer. The request counts as in flight at its instance until this has come to its end or is dropped.
    pub struct InFlight<B> {
        #[pin]
        body: B,
        rest: Option<Rest>,
    }
}

/// What is left of a request once its answer has begun.
struct Rest {
    picked: Option<Picked>,
    failed: bool,
    status: StatusCode,
    judge: Judge,
}

impl<B: Body> InFlight<B> {
    pub(super) fn new(body: B, picked: Picked, failed: bool, (status, judge): (StatusCode, Judge)) -> Self {
        let rest = Rest { picked: Some(picked), failed, status, judge };
        // Nobody asks a body that is at its end for more.
        let rest = Some(rest).filter(|_| !body.is_end_stream());
        Self { body, rest }
    }
}

impl<B> InFlight<B> {
    /// The body alone. The request counts as done from now on.
    pub fn into_inner(self) -> B {
        self.body
    }
}

impl<B: Body> Body for InFlight<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        if let Some(rest) = this.rest {
            match &frame {
                Some(Ok(frame)) => rest.hear(frame.trailers_ref()),
                Some(Err(_)) => rest.failed = true,
                None => {}
            }
        }
        // Whoever knows the length does not ask for the end.
        let goes_on = matches!(&frame, Some(Ok(frame)) if !frame.is_trailers()) && !this.body.is_end_stream();
        if !goes_on {
            *this.rest = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Rest {
    fn hear(&mut self, trailers: Option<&HeaderMap>) {
        self.failed |= trailers.is_some_and(|trailers| (self.judge)(self.status, trailers));
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if let Some(picked) = self.picked.take()
            && self.failed
        {
            picked.failed();
        }
    }
}

impl<B> fmt::Debug for InFlight<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").field("goes_on", &self.rest.is_some()).finish_non_exhaustive()
    }
}
