//! Renews an instance.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use super::{lease, refusal};
use crate::Problem;
use crate::api::documents::{LeaseDocument, LeaseState};
use crate::api::parameters::{InstanceOf, Parameters, Unconditional};
use crate::api::{App, body, json};
use crate::problem::Details;

/// Renew an instance
///
/// It stays registered for its whole time again, with all that was said of it: there is nothing to say, and a body is refused. While it is
/// not known to be in ZooKeeper the answer is 202. 404 means: register it again.
#[utoipa::path(
    post,
    path = "/v1/services/{service}/instances/{id}/renew",
    tag = "registration",
    params(
        ("service" = String, Path, description = "the name of the service"),
        ("id" = String, Path, description = "the id of the instance"),
        ("lease" = Option<String>, Query, description = "the lease: then what another program registered since is not renewed"),
    ),
    responses(
        (status = 200, description = "it is renewed, and in ZooKeeper", body = LeaseDocument),
        (status = 202, description = "it is renewed, and will be registered as soon as ZooKeeper is there", body = LeaseDocument),
        (status = 400, description = "not understood, or there is a body", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "it is not registered here, or was not renewed in time", body = Details, content_type = "application/problem+json"),
        (status = 408, description = "that there is no body did not become clear in time", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "somebody else has registered the id since", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "the gateway ends", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn renew(
    State(app): State<Arc<App>>,
    InstanceOf(service, id): InstanceOf,
    _: Unconditional,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    let mut query = Parameters::of(&uri);
    let token = query.one("lease")?;
    query.done::<__path_renew>()?;
    let nothing =
        "a renewal has no body; accepted: an empty one. What is to change is registered again, by PUT";
    body::none(&app, body, nothing).await?;
    let renewed = app.leases.renew(&service, &id, token.as_deref());
    let standing = renewed.map_err(|refused| match refused {
        // It was given back: another gateway can register it.
        _ if app.is_closing() => Problem::closing(),
        refused => refusal(&refused),
    })?;
    let document = lease(&service, &id, &standing);
    let code = match document.state {
        LeaseState::Registered => StatusCode::OK,
        LeaseState::Registering | LeaseState::Replaced => StatusCode::ACCEPTED,
    };
    Ok(json(code, &document))
}
