//! What a browser is told of who else may ask here (CORS): otherwise pages of an origin that was named could ask, and not read what is answered.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, ORIGIN,
    RETRY_AFTER,
};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method};
use axum::response::Response;
use futures::future::Either;
use tower::{Layer, Service};
use tower_http::cors::{AllowOrigin, Cors, CorsLayer};

use super::Sites;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// For how long a browser need not ask again what may be asked.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Tells browsers that pages of the origins that were named may ask whatever there is, and read it.
///
/// It belongs before the guard, who still judges each request: a browser asks without a token what may be asked, and a page is to read why
/// it was refused. Nothing but that question of such a page is answered here.
#[derive(Clone, Debug)]
pub(crate) struct Sharing {
    sites: Arc<Sites>,
    cors: CorsLayer,
}

/// The guard, and what is behind it, as browsers are told of it.
#[derive(Clone, Debug)]
pub(crate) struct Shared<S> {
    sites: Arc<Sites>,
    told: Cors<S>,
    guarded: S,
}

impl Sharing {
    /// `None`: no origins were named.
    pub(crate) fn with(sites: &Sites) -> Option<Self> {
        if sites.origins.is_empty() {
            return None;
        }
        let sites = Arc::new(sites.clone());
        let named = sites.clone();
        let is_named = move |origin: &HeaderValue, _: &Parts| named.is_named(origin);
        let cors = CorsLayer::new()
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
            .max_age(REMEMBERED);
        Some(Self { sites, cors })
    }
}

impl<S: Clone> Layer<S> for Sharing {
    type Service = Shared<S>;

    fn layer(&self, guarded: S) -> Shared<S> {
        Shared { sites: self.sites.clone(), told: self.cors.layer(guarded.clone()), guarded }
    }
}

impl<S> Service<Request> for Shared<S>
where
    S: Service<Request, Response = Response>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Either<<Cors<S> as Service<Request>>::Future, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        ready!(self.guarded.poll_ready(cx))?;
        self.told.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // It takes whatever asks by this method for the question of a browser, and answers it.
        if request.method() == Method::OPTIONS && !asks_for_a_page(&request, &self.sites) {
            return Either::Right(self.guarded.call(request));
        }
        Either::Left(self.told.call(request))
    }
}

/// Whether a browser asks what a page of an origin that was named may send.
fn asks_for_a_page(request: &Request, sites: &Sites) -> bool {
    let headers = request.headers();
    let mut origins = headers.get_all(ORIGIN).iter();
    headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && origins.next().is_some_and(|origin| sites.is_named(origin))
        && origins.next().is_none()
}
