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
    /// The body of an answer. The request counts as in flight at its instance until this has come to its end or is dropped. Dropped
    /// before its end it says nothing of the instance, neither well nor ill, unless the head did.
    pub struct InFlight<B> {
        #[pin]
        body: B,
        rest: Option<Rest>,
    }
}

/// What is left of a request once its answer has begun.
struct Rest {
    picked: Option<Picked>,
    end: End,
    status: StatusCode,
    judge: Judge,
}

/// How the request ends if it ends now.
#[derive(Clone, Copy)]
enum End {
    /// Somebody did not want the rest.
    Abandoned,
    Done,
    Failed,
}

impl<B: Body> InFlight<B> {
    pub(super) fn new(body: B, picked: Picked, failed: bool, (status, judge): (StatusCode, Judge)) -> Self {
        let end = if failed { End::Failed } else { End::Abandoned };
        let mut rest = Some(Rest { picked: Some(picked), end, status, judge });
        // Nobody asks a body that is at its end for more.
        if body.is_end_stream() {
            Rest::end(&mut rest);
        }
        Self { body, rest }
    }
}

impl<B> InFlight<B> {
    /// The body alone. The request is in flight no more, and how it ends is not heard of.
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
                Some(Err(_)) => rest.end = End::Failed,
                None => {}
            }
        }
        // Whoever knows the length does not ask for the end.
        let goes_on = matches!(&frame, Some(Ok(frame)) if !frame.is_trailers()) && !this.body.is_end_stream();
        if !goes_on {
            Rest::end(this.rest);
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
        if trailers.is_some_and(|trailers| (self.judge)(self.status, trailers)) {
            self.end = End::Failed;
        }
    }

    /// The body has come to its end.
    fn end(rest: &mut Option<Self>) {
        if let Some(Self { end: end @ End::Abandoned, .. }) = rest {
            *end = End::Done;
        }
        *rest = None;
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        let Some(picked) = self.picked.take() else { return };
        match self.end {
            End::Done => drop(picked),
            End::Failed => picked.failed(),
            End::Abandoned => picked.abandoned(),
        }
    }
}

impl<B> fmt::Debug for InFlight<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").field("goes_on", &self.rest.is_some()).finish_non_exhaustive()
    }
}
