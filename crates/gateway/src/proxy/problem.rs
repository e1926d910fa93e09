//! Answers that are made here: problem details (RFC 9457), for programs and for people who look at them.
//!
//! They name the service, which paths tell anyway, and never an instance: an id is the address within, unless it was chosen. The log has it.

use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, Response, StatusCode};
use proto::ServiceName;

use super::body::Body;
use super::connections::{MOST_HEAD, MOST_HEADERS};
use super::figures::Outcome;
use crate::problem::{self, Details, PROBLEM_JSON};

/// Why a request is answered here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) outcome: Outcome,
    pub(super) status: StatusCode,
    detail: String,
    /// What else the client is to know.
    header: Option<(HeaderName, &'static str)>,
}

/// When to come again.
const SOON: (HeaderName, &str) = (RETRY_AFTER, "1");

/// What services may be asked to do. They may know more methods than these, which are passed on.
const METHODS: (HeaderName, &str) = (ALLOW, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

impl Problem {
    fn new(outcome: Outcome, status: StatusCode, detail: impl Into<String>) -> Self {
        Self { outcome, status, detail: detail.into(), header: None }
    }

    /// The request is wrong, whatever it asks for.
    pub(super) fn refused(detail: impl Into<String>) -> Self {
        Self::new(Outcome::Refused, StatusCode::BAD_REQUEST, detail)
    }

    /// The request asks for what is not done here.
    pub(super) fn refused_with(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::new(Outcome::Refused, status, detail)
    }

    /// The method leads to no service.
    pub(super) fn not_done(method: &Method) -> Self {
        let detail = format!("{method} is not done here");
        Self { header: Some(METHODS), ..Self::refused_with(StatusCode::METHOD_NOT_ALLOWED, detail) }
    }

    /// The body has more bytes than the rule allows.
    pub(super) fn too_large() -> Self {
        Self::refused_with(StatusCode::PAYLOAD_TOO_LARGE, "the body of the request is larger than it may be")
    }

    pub(super) fn no_rule() -> Self {
        Self::new(Outcome::NoRule, StatusCode::NOT_FOUND, "no rule is for this path")
    }

    /// There is nobody to send it to, which may pass.
    pub(super) fn nobody(service: &ServiceName, why: &str) -> Self {
        let detail = format!("{service} cannot answer: {why}");
        Self { header: Some(SOON), ..Self::new(Outcome::Nobody, StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    pub(super) fn unreachable(service: &ServiceName) -> Self {
        let detail = format!("an instance of {service} cannot be reached");
        Self::new(Outcome::Unreachable, StatusCode::BAD_GATEWAY, detail)
    }

    /// There are no files, ports or memory for one more connection, which may pass.
    pub(super) fn no_room() -> Self {
        let detail = "there is no room here for one more connection to an instance";
        Self { header: Some(SOON), ..Self::new(Outcome::NoRoom, StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// Nobody can tell where the answer ends.
    pub(super) fn unclear(service: &ServiceName) -> Self {
        let detail = format!("the length of the answer of an instance of {service} is unclear");
        Self::new(Outcome::Broken, StatusCode::BAD_GATEWAY, detail)
    }

    /// The head of the answer has more than there is room for.
    pub(super) fn large_head(service: &ServiceName) -> Self {
        let detail = format!(
            "the head of the answer of an instance of {service} is too large; accepted: {MOST_HEADERS} headers in {} KiB",
            MOST_HEAD / 1024
        );
        Self::new(Outcome::Broken, StatusCode::BAD_GATEWAY, detail)
    }

    pub(super) fn broken(service: &ServiceName) -> Self {
        let detail = format!("an instance of {service} broke off before it answered");
        Self::new(Outcome::Broken, StatusCode::BAD_GATEWAY, detail)
    }

    pub(super) fn late(service: &ServiceName) -> Self {
        let detail = format!("an instance of {service} did not answer in time");
        Self::new(Outcome::Late, StatusCode::GATEWAY_TIMEOUT, detail)
    }

    /// The client did not send what it announced.
    pub(super) fn slow_client() -> Self {
        let detail = "the body of the request did not come in time";
        Self::new(Outcome::Left, StatusCode::REQUEST_TIMEOUT, detail)
    }

    /// The client broke off, or what it sent is no body.
    pub(super) fn broken_body() -> Self {
        Self::new(Outcome::Left, StatusCode::BAD_REQUEST, "the body of the request broke off")
    }

    /// The answer.
    pub(super) fn response(self) -> Response<Body> {
        let title = self.status.canonical_reason().unwrap_or_default().to_owned();
        // As those of the API are called, and told apart from them.
        let kind = problem::name(format_args!("proxy-{}", self.outcome.as_str().replace('_', "-")));
        let details = Details { kind, title, status: self.status.as_u16(), detail: self.detail };
        let mut response = Response::new(Body::whole(details.written().into()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        if let Some((name, value)) = self.header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
