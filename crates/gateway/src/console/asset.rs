//! One file of the console, and what a browser is told with it.

use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use bytes::Bytes;

use crate::entity_tag;

/// What the page may do: show and run what is ours, and ask the gateway that it came from. Nothing that instances say about themselves
/// can become a part of it, since no text is ever taken for HTML: browsers that know `trusted-types` refuse that even if we forget.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

/// A file that is part of the program.
pub(super) struct Asset {
    /// Where it is served.
    pub(super) path: &'static str,
    kind: &'static str,
    content: &'static [u8],
}

impl Asset {
    pub(super) const fn new(path: &'static str, kind: &'static str, content: &'static [u8]) -> Self {
        Self { path, kind, content }
    }

    pub(super) const fn script(path: &'static str, content: &'static [u8]) -> Self {
        Self::new(path, "text/javascript; charset=utf-8", content)
    }

    pub(super) const fn style(path: &'static str, content: &'static [u8]) -> Self {
        Self::new(path, "text/css; charset=utf-8", content)
    }

    /// The file, or that the browser has it already.
    pub(super) fn answer(&self, asked: &HeaderMap) -> Response {
        let kind = HeaderValue::from_static(self.kind);
        // Asked for each time: after an update nobody has half of the old console.
        let mut response = entity_tag::answer(asked, entity_tag::of(self.content), kind, || {
            Bytes::from_static(self.content)
        });
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(OPENER_POLICY, SAME_ORIGIN);
        headers.insert(RESOURCE_POLICY, SAME_ORIGIN);
        response
    }
}
