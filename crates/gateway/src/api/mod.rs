//! `/v1`: the registry over HTTP.

pub(crate) mod body;
pub(crate) mod documents;
mod health;
mod openapi;
mod parameters;
mod passing;
mod pick;
mod prometheus;
mod registering;
mod services;
mod watch;

use std::fmt;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch as channel};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zk_session::State as Session;

use self::passing::Passing;
use crate::guard::{Guard, Sharing};
use crate::leases::Leases;
use crate::metrics::Metrics;
use crate::proxied::Proxied;
use crate::proxy::Proxy;
use crate::{Fleet, Problem, entity_tag};

/// How many requests wait for news at the same time, unless that is said.
pub const WAITING: usize = 3_072;

/// What all requests share.
#[derive(Debug)]
pub struct App {
    pub(crate) fleet: Fleet,
    pub(crate) leases: Leases,
    pub(crate) metrics: Metrics,
    /// What is told of it, if there is one.
    pub(crate) proxy: OnceLock<Proxy>,
    /// How many more requests may wait for news.
    waiting: Arc<Semaphore>,
    closing: channel::Sender<bool>,
}

impl App {
    /// What answers from this fleet, and registers where it follows; [`WAITING`] requests at most wait for news.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(fleet: Fleet) -> Arc<Self> {
        Self::with_waiting(fleet, WAITING)
    }

    /// The same, and as many streams and blocking queries as this at most wait for news at the same time; others are answered 503. There should be fewer than
    /// connections, so that whoever waits leaves some to those who renew what they registered.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn with_waiting(fleet: Fleet, most: usize) -> Arc<Self> {
        let leases = Leases::start(fleet.registry().clone());
        let metrics = Metrics::new(fleet.clone(), leases.clone());
        Arc::new(Self {
            fleet,
            leases,
            metrics,
            proxy: OnceLock::new(),
            waiting: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            closing: channel::Sender::new(false),
        })
    }

    /// Tells of this proxy, too: in its metrics, and whether it has what it needs. Of the first one that is given.
    pub fn tell_of(&self, proxy: Proxy) {
        if self.proxy.set(proxy.clone()).is_ok() {
            self.metrics.collect(Box::new(Proxied(proxy)));
        }
    }

    /// What is counted here, and what else Prometheus is told.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What is registered here.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// A place among those who wait for news, to be kept while waiting.
    pub(crate) fn place_to_wait(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = self.waiting.clone().try_acquire_owned();
        place.map_err(|_| Problem::too_many("as many streams and queries wait for news as may"))
    }

    /// Ends all streams and queries that wait, and is not ready any more.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Waits until the gateway is about to end.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn closing(&self) {
        // The sender lives as long as this does.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    /// That ZooKeeper has not told, and why if that is known.
    pub(crate) fn not_known(&self, what: impl fmt::Display) -> Problem {
        let state = self.fleet.registry().sessions().state();
        match &*state.borrow() {
            Session::Connecting { problem: Some(problem) }
            | Session::Suspended { problem: Some(problem), .. } => {
                Problem::not_known_yet(format_args!("ZooKeeper has not told {what} yet: {problem}"))
            }
            _ => Problem::not_known_yet(format_args!("ZooKeeper has not told {what} yet")),
        }
    }
}

/// What answers the requests that the guard lets pass.
pub fn router(app: Arc<App>, guard: Guard) -> Router {
    let (router, _) = documented().split_for_parts();
    let sharing = Sharing::with(&guard.sites);
    let mut router = router
        .fallback(async |uri: Uri| Problem::unknown_path(uri.path()))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .with_state(app.clone())
        .layer(Passing::new(app, guard));
    if let Some(sharing) = sharing {
        router = router.layer(sharing);
    }
    // Behind the layers: a browser has no token to show before the page is there that asks for one.
    router.merge(crate::console::router())
}

/// All handlers, each with what is documented of it.
fn documented() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(openapi::About::openapi())
        .routes(routes!(services::services))
        .routes(routes!(services::service))
        .routes(routes!(services::master))
        .routes(routes!(pick::pick))
        .routes(routes!(watch::watch))
        .routes(routes!(
            registering::look::instance,
            registering::register::register,
            registering::change::change,
            registering::withdraw::withdraw
        ))
        .routes(routes!(registering::renew::renew))
        .routes(routes!(openapi::openapi))
        .routes(routes!(prometheus::targets))
        .routes(routes!(prometheus::metrics))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A response with this document.
pub(crate) fn json(status: StatusCode, document: &impl Serialize) -> Response {
    let mut response = whole(written(document));
    *response.status_mut() = status;
    response
}

/// A response with a document that is written already.
pub(crate) fn whole(document: impl Into<Body>) -> Response {
    let mut response = Response::new(document.into());
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// A response with this document, or that it is known already. It is told by what is written, so it is another one exactly when that is.
pub(crate) fn json_or_known(asked: &HeaderMap, document: &impl Serialize) -> Response {
    let written = written(document);
    entity_tag::answer(asked, entity_tag::of(&written), JSON, || written.into())
}

fn written(document: &impl Serialize) -> Vec<u8> {
    // Room at once for what one instance takes.
    let mut written = Vec::with_capacity(512);
    documents::write(document, &mut written);
    written
}
