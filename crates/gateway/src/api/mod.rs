//! `/v1`: the registry over HTTP.

pub(crate) mod body;
pub(crate) mod documents;
mod health;
mod parameters;
mod pick;
mod registering;
mod services;
mod watch;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::watch as channel;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zk_session::State;

use crate::guard::{self, Guard};
use crate::leases::Leases;
use crate::{Fleet, Problem};

/// What all requests share.
#[derive(Debug)]
pub struct App {
    pub(crate) fleet: Fleet,
    pub(crate) leases: Leases,
    closing: channel::Sender<bool>,
}

impl App {
    /// What answers from this fleet, and registers where it follows.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(fleet: Fleet) -> Arc<Self> {
        let leases = Leases::start(fleet.registry().clone());
        Arc::new(Self { fleet, leases, closing: channel::Sender::new(false) })
    }

    /// What is registered here.
    pub fn leases(&self) -> &Leases {
        &self.leases
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
            State::Connecting { problem: Some(problem) }
            | State::Suspended { problem: Some(problem), .. } => {
                Problem::not_known_yet(format_args!("ZooKeeper has not told {what} yet: {problem}"))
            }
            _ => Problem::not_known_yet(format_args!("ZooKeeper has not told {what} yet")),
        }
    }
}

/// What answers the requests that the guard lets pass.
pub fn router(app: Arc<App>, guard: Guard) -> Router {
    let (router, _) = documented().split_for_parts();
    router
        .fallback(async |uri: Uri| Problem::unknown_path(uri.path()))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .with_state(app)
        .layer(from_fn_with_state(Arc::new(guard), guard::guard))
        // Behind the layer: a browser has no token to show before the page is there that asks for one.
        .merge(crate::console::router())
}

/// All handlers, each with what is documented of it.
fn documented() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(services::services))
        .routes(routes!(services::service))
        .routes(routes!(services::master))
        .routes(routes!(pick::pick))
        .routes(routes!(watch::watch))
        .routes(routes!(
            registering::instance,
            registering::register,
            registering::change,
            registering::withdraw
        ))
        .routes(routes!(registering::renew))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
}

/// A response with this document. A browser is not to take it for anything else.
pub(crate) fn json(status: StatusCode, document: &impl Serialize) -> Response {
    let body = serde_json::to_vec(document).expect("text and numbers can always be written");
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, headers, body).into_response()
}
