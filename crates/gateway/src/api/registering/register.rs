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
use zk_session::Source;

use super::wanted::Wanted;
use super::{lease, listed, refusal};
use crate::Problem;
use crate::api::documents::{LeaseDocument, LeaseState, RegistrationDocument};
use crate::api::parameters::{InstanceOf, Parameters, Unconditional};
use crate::api::{App, body, json};
use crate::leases::{Refused, Standing};
use crate::problem::Details;

/// Register an instance
///
/// The gateway keeps it registered for as long as it is renewed. The id is yours to choose; the address is a good one. Whoever registers an
/// id last has it, and is told when another program had it here (`took_over`); the other one is told when it renews with its `lease`.
/// Who registers again sends its `lease` along: then it takes the id from nobody who has registered it since. Each answer has another lease.
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
        ("lease" = Option<String>, Query, description = "the lease of before: then the id is not taken from another program that registered it since. One that is not known here any more is as good as none, unless an instance is listed that was first registered later"),
    ),
    request_body = RegistrationDocument,
    responses(
        (status = 200, description = "it is registered in place of what was registered here before, which is overwritten", body = LeaseDocument, headers(("location" = String, description = "the instance"))),
        (status = 201, description = "it is registered", body = LeaseDocument, headers(("location" = String, description = "the instance"))),
        (status = 202, description = "it will be registered as soon as ZooKeeper is there, or what it says will be written", body = LeaseDocument, headers(("location" = String, description = "the instance"))),
        (status = 400, description = "not understood, or it cannot be stored", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "the layout has one service, and this is another name", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "somebody else registered the id at the same time, or since the lease was given, or withdrew it", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "the body is not JSON", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "too many are registered, or the gateway ends; or nobody can tell whether somebody newer has the id", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn register(
    State(app): State<Arc<App>>,
    InstanceOf(service, id): InstanceOf,
    _: Unconditional,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let mut query = Parameters::of(&uri);
    let token = query.one("lease")?;
    query.done::<__path_register>()?;
    app.callable(&service)?;
    let Wanted { data, ttl } = Wanted::read(&body::json(&app, &headers, body).await?)?;
    if token.is_some() && !app.leases.knows(&service, &id) {
        app.has_nobody_newer(&service, &id, &data).await?;
    }
    let granted = app.leases.register(&service, &id, token.as_deref(), data, ttl);
    let granted = granted.map_err(|refused| refusal(&refused))?;
    let written = app.is_written(&service, &id, granted.standing()).await;
    app.fleet.may_be_new(&service);
    // It may have been withdrawn meanwhile, or be somebody else's by now.
    let standing = granted.begin().map_err(|refused| refusal(&refused))?;
    let mut document = lease(&service, &id, &standing);
    let code = match (document.state, written) {
        (LeaseState::Registered, true) if standing.overwrites => StatusCode::OK,
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
    /// Whether somebody has an id who was first registered after this: for a lease of which nothing is known here, since the gateway was
    /// started again or it was not renewed in time, and somebody may have come meanwhile.
    async fn has_nobody_newer(
        &self,
        service: &ServiceName,
        id: &InstanceId,
        data: &NodeData,
    ) -> Result<(), Problem> {
        // Where nothing is known, not even the service may be there. Whoever does not say since when it is there is newest now.
        let Ok((_, now)) = self.known(service).await else { return Ok(()) };
        let since = listed(&now, id).map(|instance| instance.data.registered_at);
        match now.view.source {
            _ if data.registered_at == 0 || since.is_none_or(|since| since <= data.registered_at) => Ok(()),
            Source::Live => Err(refusal(&Refused::Replaced)),
            Source::Stale { .. } => Err(self.not_known("whether somebody newer has the id")),
        }
    }

    /// Waits until an instance is in ZooKeeper as it stands, no longer than for anything of ZooKeeper, and until whoever asks next finds it.
    async fn is_written(&self, service: &ServiceName, id: &InstanceId, standing: &Standing) -> bool {
        let open = |status: &Status| matches!(status, Status::Registering { .. });
        let mut status = standing.status.clone();
        // Or not: what it is by then is what counts.
        let _ = timeout(self.fleet.patience(), status.wait_for(|status| !open(status))).await;
        if !matches!(*status.borrow(), Status::Registered { .. }) {
            return false;
        }
        if !standing.overwrites && self.fleet.followed(service).is_none() {
            return true;
        }
        let shown = self.shows(service, id, |data| says_the_same(data, &standing.data)).await;
        // The node that was there before is ours, and may not be overwritten yet. A new one was written with all that is in it.
        shown || !standing.overwrites
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
