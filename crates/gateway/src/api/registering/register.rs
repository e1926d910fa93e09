//! Registers an instance.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use proto::{InstanceId, NodeData, ServiceName};
use registry::Status;
use tokio::time::timeout;

use super::wanted::Wanted;
use super::{lease, refusal};
use crate::Problem;
use crate::api::documents::{LeaseDocument, LeaseState, RegistrationDocument};
use crate::api::parameters::{InstanceOf, Parameters};
use crate::api::{App, body, json};
use crate::leases::Standing;
use crate::problem::Details;

/// Register an instance
///
/// The gateway keeps it registered for as long as it is renewed. The id is yours to choose; the address is a good one. Whoever registers an
/// id last has it, and is told when another program had it here (`took_over`); the other one is told when it renews with its `lease`.
/// ZooKeeper need not be there: then the answer is 202, and the instance is registered as soon as it is. Its time (`ttl`) begins with the answer.
///
/// Fields that are not known are refused: whatever else is worth knowing goes into `metadata`.
#[utoipa::path(
    put,
    path = "/v1/services/{service}/instances/{id}",
    tag = "registration",
    params(
        ("service" = String, Path, description = "the name of the service"),
        ("id" = String, Path, description = "the id of the instance"),
    ),
    request_body = RegistrationDocument,
    responses(
        (status = 200, description = "it is registered in place of another program's, whose data is overwritten", body = LeaseDocument, headers(("location" = String, description = "the instance"))),
        (status = 201, description = "it is registered", body = LeaseDocument, headers(("location" = String, description = "the instance"))),
        (status = 202, description = "it will be registered as soon as ZooKeeper is there, or what it says will be written", body = LeaseDocument, headers(("location" = String, description = "the instance"))),
        (status = 400, description = "not understood, or it cannot be stored", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "the layout has one service, and this is another name", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "somebody else registered the id at the same time, or withdrew it", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "the body is not JSON", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "too many are registered, or the gateway ends", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn register(
    State(app): State<Arc<App>>,
    InstanceOf(service, id): InstanceOf,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let query = Parameters::of(&uri);
    query.done::<__path_register>()?;
    app.callable(&service)?;
    let Wanted { data, ttl } = Wanted::read(&body::json(&app, &headers, body).await?)?;
    let granted = app.leases.register(&service, &id, data, ttl).map_err(|refused| refusal(&refused))?;
    let written = app.is_written(&service, &id, granted.standing()).await;
    app.fleet.may_be_new(&service);
    // It may have been withdrawn meanwhile, or be somebody else's by now.
    let standing = granted.begin().map_err(|refused| refusal(&refused))?;
    let mut document = lease(&service, &id, &standing);
    let code = match (document.state, written) {
        (LeaseState::Registered, true) if standing.took_over => StatusCode::OK,
        (LeaseState::Registered, true) => StatusCode::CREATED,
        _ => StatusCode::ACCEPTED,
    };
    if !written {
        // What is there may be what was there before.
        document.state = LeaseState::Registering;
    }
    let mut response = json(code, &document);
    if let Ok(location) = HeaderValue::from_str(uri.path()) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

impl App {
    /// Waits until an instance is in ZooKeeper as it stands, no longer than for anything of ZooKeeper, and until whoever asks next finds it.
    async fn is_written(&self, service: &ServiceName, id: &InstanceId, standing: &Standing) -> bool {
        let open = |status: &Status| matches!(status, Status::Registering { .. });
        let mut status = standing.status.clone();
        // Or not: what it is by then is what counts.
        let _ = timeout(self.fleet.patience(), status.wait_for(|status| !open(status))).await;
        if !matches!(*status.borrow(), Status::Registered { .. }) {
            return false;
        }
        if !standing.took_over && self.fleet.followed(service).is_none() {
            return true;
        }
        let shown = self.shows(service, id, |data| says_the_same(data, &standing.data)).await;
        // The node that was there before is ours, and may not be overwritten yet. A new one was written with all that is in it.
        shown || !standing.took_over
    }
}

/// Whether two say the same, but for when they were first registered, which not every layout stores.
fn says_the_same(one: &NodeData, other: &NodeData) -> bool {
    let said = |data: &NodeData| {
        let NodeData { address, unique_code, weight, metadata, .. } = data;
        (address.clone(), unique_code.clone(), *weight, metadata.clone())
    };
    said(one) == said(other)
}
