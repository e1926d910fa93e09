//! What went wrong, as programs and people read it: problem details (RFC 9457).

use std::fmt;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of problem details.
pub(crate) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

const TOO_MANY: &str = "too-many";

/// Why a request was not served, as problem details (RFC 9457).
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    /// After how many seconds another try is worth it.
    retry_after: Option<u32>,
    /// What somebody has to show.
    challenge: Option<&'static str>,
}

/// Problem details as they are sent, by the interface and by the proxy.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Details {
    /// Which kind of problem, the same for all of that kind. It is a name and cannot be opened.
    #[serde(rename = "type")]
    #[schema(example = "urn:headkeeper:problem:unknown-service")]
    pub(crate) kind: String,
    /// The kind in words.
    pub(crate) title: String,
    /// The status of the response.
    pub(crate) status: u16,
    /// What was wrong with this request, and what is accepted.
    pub(crate) detail: String,
}

impl Details {
    pub(crate) fn written(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and numbers can always be written")
    }
}

/// What a kind of problem is called, here and in the proxy: a name that cannot be opened, and is nobody else's.
pub(crate) fn name(kind: impl fmt::Display) -> String {
    format!("urn:headkeeper:problem:{kind}")
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl fmt::Display) -> Self {
        Self { status, kind, title, detail: detail.to_string(), retry_after: None, challenge: None }
    }

    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The request cannot be understood: `detail` says what is wrong and what is accepted.
    pub(crate) fn bad_request(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "the request cannot be understood", detail)
    }

    /// It is understood, and there is no such thing where it would have to be stored.
    pub(crate) fn not_storable(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "not-storable", "it cannot be stored as it is", detail)
    }

    pub(crate) fn unknown_path(path: &str) -> Self {
        let shown: String = path.chars().take(80).collect();
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown-path",
            "there is nothing at this path",
            format_args!("there is nothing at {shown:?}; GET /v1/openapi.json tells what there is"),
        )
    }

    /// What is accepted stands in the header `Allow`.
    pub(crate) fn method_not_allowed() -> Self {
        let detail = "the header Allow tells which methods are accepted";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(status, "method-not-allowed", "the method is not accepted here", detail)
    }

    pub(crate) fn unknown_service(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown-service", "there is no such service", detail)
    }

    /// The layout has one service, and this is another name. No word on who is registered: another gateway may call its service so.
    pub(crate) fn another_name(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "another-name", "the service has another name here", detail)
    }

    pub(crate) fn unknown_instance(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown-instance", "there is no such instance", detail)
    }

    /// What is asked for is not in this layout.
    pub(crate) fn no_elections() -> Self {
        let detail = "the flat layout has no elections, so nobody leads";
        Self::new(StatusCode::NOT_FOUND, "no-elections", "nobody can lead here", detail)
    }

    /// Something else is true than the request takes for granted.
    pub(crate) fn conflict(kind: &'static str, detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::CONFLICT, kind, "somebody else has this instance", detail)
    }

    /// It was there for a moment.
    pub(crate) fn withdrawn(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::CONFLICT, "withdrawn", "the instance was withdrawn meanwhile", detail)
    }

    /// It may not come from there, or be for there.
    pub(crate) fn foreign(kind: &'static str, detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::FORBIDDEN, kind, "the request is for or from another site", detail)
    }

    pub(crate) fn no_token() -> Self {
        let detail = "accepted: the header Authorization: Bearer TOKEN, once";
        Self::new(StatusCode::UNAUTHORIZED, "no-token", "a token is needed", detail).challenge("Bearer")
    }

    pub(crate) fn wrong_token() -> Self {
        let detail = "the token is none that this gateway accepts";
        Self::new(StatusCode::UNAUTHORIZED, "wrong-token", "the token is not accepted", detail)
            .challenge("Bearer error=\"invalid_token\"")
    }

    pub(crate) fn read_only() -> Self {
        let detail = "the token is for reading alone";
        Self::new(StatusCode::FORBIDDEN, "read-only", "the token does not allow that", detail)
            .challenge("Bearer error=\"insufficient_scope\"")
    }

    pub(crate) fn not_json(detail: impl fmt::Display) -> Self {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, "not-json", "the body is of another type than is accepted", detail)
    }

    pub(crate) fn too_large(most: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "the body is too large",
            format_args!("accepted: a body of {most} bytes at most"),
        )
    }

    pub(crate) fn too_slow(seconds: u64) -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "too-slow",
            "the body did not come in time",
            format_args!("the body did not come within {seconds} s"),
        )
    }

    /// There is no list yet, and there may be one soon.
    pub(crate) fn not_known_yet(detail: impl fmt::Display) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "not-known-yet", "ZooKeeper has not told yet", detail).retry_after(1)
    }

    /// The list is there, and nobody in it can be picked.
    pub(crate) fn nobody(detail: impl fmt::Display) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "nobody", "there is nobody to pick", detail).retry_after(1)
    }

    /// A limit of ours is reached.
    pub(crate) fn too_many(detail: impl fmt::Display) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, TOO_MANY, "a limit of this gateway is reached", detail).retry_after(10)
    }

    /// Whether it is a limit of ours that is reached.
    pub(crate) fn is_limit(&self) -> bool {
        self.kind == TOO_MANY
    }

    /// A fault of ours.
    pub(crate) fn not_written(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "not-written", "the answer could not be made", detail)
    }

    /// We are about to end.
    pub(crate) fn closing() -> Self {
        let detail = "this gateway is being stopped: ask another one";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "closing", "this gateway ends", detail).retry_after(1)
    }

    pub(crate) fn not_ready(detail: impl fmt::Display) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "this gateway is not ready", detail)
            .retry_after(1)
    }

    fn challenge(self, challenge: &'static str) -> Self {
        Self { challenge: Some(challenge), ..self }
    }

    fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let details = Details {
            kind: name(self.kind),
            title: self.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
        };
        let mut response = (self.status, details.written()).into_response();
        response.headers_mut().insert(CONTENT_TYPE, PROBLEM_JSON);
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if let Some(challenge) = self.challenge {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}
