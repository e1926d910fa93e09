//! When a request of HTTP is over, and whether it went well.

use std::sync::Arc;

use http::{HeaderMap, Response, StatusCode};
use loadbalance::{Instance, Picked};
use tower::load::completion::TrackCompletion;

use super::InFlight;

/// Whether an answer is a failure of the instance: one that another instance would not have given. Asked with the headers, and once
/// more with the trailers if there are any.
pub type Judge = fn(StatusCode, &HeaderMap) -> bool;

/// Who answered: among the extensions of a response that was counted by [`CompleteOnBody`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredBy(pub Arc<Instance>);

/// Counts a request of HTTP as in flight until the body of its answer, trailers included, has come to its end, broke off, or was
/// dropped. tower's `CompleteOnResponse` does so until the head of the answer.
///
/// A body that breaks off is a failure, and so is what the [`Judge`] says. One that is dropped before its end is none, and forgives none:
/// so bound what is done with it, or a server that stops in the middle of its answers never fails.
#[derive(Clone, Copy, Debug)]
pub struct CompleteOnBody(Judge);

impl CompleteOnBody {
    /// For HTTP: the statuses 502, 503 and 504 are failures.
    pub fn http() -> Self {
        Self(|status, _| is_unavailable(status))
    }

    /// For gRPC: these, and the gRPC status `UNAVAILABLE`, which stands in the headers or in the trailers.
    pub fn grpc() -> Self {
        Self(|status, fields| {
            is_unavailable(status) || fields.get("grpc-status").is_some_and(|status| status == "14")
        })
    }

    /// For answers that tell of failures in some other way.
    pub fn judged(judge: Judge) -> Self {
        Self(judge)
    }
}

fn is_unavailable(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

impl<B: http_body::Body> TrackCompletion<Picked, Response<B>> for CompleteOnBody {
    type Output = Response<InFlight<B>>;

    fn track_completion(&self, picked: Picked, response: Response<B>) -> Self::Output {
        let (mut head, body) = response.into_parts();
        head.extensions.insert(AnsweredBy(picked.candidate().instance().clone()));
        let failed = (self.0)(head.status, &head.headers);
        let body = InFlight::new(body, picked, failed, (head.status, self.0));
        Response::from_parts(head, body)
    }
}
