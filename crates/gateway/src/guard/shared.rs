//! What a browser is told of who else may ask here (CORS): otherwise pages of an origin that was named could ask, and not read what is answered.

use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::Sites;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// For how long a browser need not ask again what may be asked.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Tells browsers that pages of the origins that were named may ask whatever there is, and read it. `None`: there are no such origins.
///
/// It belongs before the guard, who still judges each request: a browser asks without a token what may be asked, and a page is to read why
/// it was refused.
pub(crate) fn shared_with(sites: &Sites) -> Option<CorsLayer> {
    if sites.origins.is_empty() {
        return None;
    }
    let named = sites.clone();
    let is_named = move |origin: &HeaderValue, _: &Parts| named.is_named(origin);
    Some(
        CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(is_named))
            .allow_methods([
                Method::GET,
                Method::HEAD,
                Method::PUT,
                Method::PATCH,
                Method::POST,
                Method::DELETE,
            ])
            .allow_headers([AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH, LAST_EVENT_ID])
            .expose_headers([ETAG, LOCATION, RETRY_AFTER])
            .max_age(REMEMBERED),
    )
}
