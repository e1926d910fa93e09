//! Whether this process serves, and whether it has what it needs.
//!
//! Probes add to the path what they like, against caches for instance: it is ignored, for a gateway that refuses it would be taken for
//! one that does not serve.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::documents::{HealthDocument, ReadinessDocument, ReadyService, Trust};
use super::{App, json};
use crate::Problem;
use crate::guard::Told;
use crate::problem::Details;

/// Whether this process serves
///
/// It does when it answers, whatever ZooKeeper does: starting it anew would mend nothing.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operation",
    responses(
        (status = 200, description = "it serves", body = HealthDocument),
    )
)]
pub(super) async fn healthz() -> Response {
    json(StatusCode::OK, &HealthDocument { status: "ok" })
}

/// Whether it is of use
///
/// It is when it has a list for each service that it was started with or that a rule of the proxy names, live or the last that was known, and
/// is not being stopped. Who may ask for services is told their names, too; everybody else the status alone.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operation",
    responses(
        (status = 200, description = "it has a list for each", body = ReadinessDocument),
        (status = 503, description = "it has not, or is being stopped", body = Details, content_type = "application/problem+json"),
    )
)]
pub(super) async fn readyz(
    State(app): State<Arc<App>>,
    less: Option<Extension<Told>>,
) -> Result<Response, Problem> {
    if app.is_closing() {
        return Err(Problem::closing());
    }
    let told = less.map_or(Told::All, |Extension(told)| told);
    let (services, missing) = app.needed();
    match told {
        _ if missing.is_empty() => {
            let services = (told == Told::All).then_some(services);
            Ok(json(StatusCode::OK, &ReadinessDocument { status: "ready", services }))
        }
        Told::All => Err(Problem::not_ready(format_args!("there is no list yet of: {}", missing.join(", ")))),
        Told::StatusAlone => Err(Problem::not_ready("a list is missing")),
    }
}

impl App {
    /// The services that are needed: those with a list, and the names of those without.
    fn needed(&self) -> (Vec<ReadyService>, Vec<String>) {
        let mut needed = self.fleet.configured().clone();
        needed.extend(self.proxy.get().iter().flat_map(|proxy| proxy.served()).map(|served| served.service));
        let (mut services, mut missing) = (Vec::new(), Vec::new());
        for service in &needed {
            match self.fleet.followed(service).and_then(|followed| followed.now()) {
                Some(now) => {
                    let source = Trust::from(now.view.source);
                    services.push(ReadyService { name: service.to_string(), source });
                }
                None => missing.push(service.to_string()),
            }
        }
        (services, missing)
    }
}
