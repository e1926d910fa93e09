//! Whether this process serves, and whether it has what it needs.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::documents::{HealthDocument, ReadinessDocument, ReadyService, Trust};
use super::{App, json};
use crate::Problem;
use crate::problem::Details;

/// Whether this process serves
///
/// It does when it answers, whatever ZooKeeper does: starting it anew would mend nothing.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operation",
    responses((status = 200, description = "it serves", body = HealthDocument))
)]
pub(super) async fn healthz() -> Response {
    json(StatusCode::OK, &HealthDocument { status: "ok" })
}

/// Whether it is of use
///
/// It is when it has a list for each service that it was started with or that a rule of the proxy names, live or the last that was known, and
/// is not being stopped.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operation",
    responses(
        (status = 200, description = "it has a list for each", body = ReadinessDocument),
        (status = 503, description = "it has not, or is being stopped", body = Details, content_type = "application/problem+json"),
    )
)]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    if app.is_closing() {
        return Err(Problem::closing());
    }
    let mut services = Vec::new();
    let mut missing = Vec::new();
    let mut needed = app.fleet.configured().clone();
    needed.extend(app.proxy.get().iter().flat_map(|proxy| proxy.served()).map(|served| served.service));
    for service in &needed {
        match app.fleet.followed(service).and_then(|followed| followed.now()) {
            Some(now) => {
                let source = Trust::from(now.view.source);
                services.push(ReadyService { name: service.to_string(), source });
            }
            None => missing.push(service.to_string()),
        }
    }
    if !missing.is_empty() {
        let detail = format_args!("there is no list yet of: {}", missing.join(", "));
        return Err(Problem::not_ready(detail));
    }
    Ok(json(StatusCode::OK, &ReadinessDocument { status: "ready", services }))
}
