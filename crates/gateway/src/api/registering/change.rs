//! Changes the weight of an instance.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;

use super::lease;
use crate::Problem;
use crate::api::documents::{ChangeDocument, LeaseDocument};
use crate::api::parameters::{InstanceOf, Parameters, Unconditional};
use crate::api::{App, body, json};
use crate::leases::Weight;
use crate::problem::Details;

/// Change the weight of an instance
///
/// Of those that this gateway registers: a weight, or `drain`, which keeps it registered and has it picked no more.
#[utoipa::path(
    patch,
    path = "/v1/services/{service}/instances/{id}",
    tag = "registration",
    params(
        ("service" = String, Path, description = "the name of the service"),
        ("id" = String, Path, description = "the id of the instance"),
        ("lease" = Option<String>, Query, description = "the lease: then what another program registered since is not changed"),
    ),
    request_body = ChangeDocument,
    responses(
        (status = 200, description = "it is listed with that weight", body = LeaseDocument),
        (status = 202, description = "it will be as soon as ZooKeeper is there", body = LeaseDocument),
        (status = 400, description = "not understood, or it cannot be stored", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "it is not registered", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "it is not registered here, and nobody can tell whether it is elsewhere; or the gateway ends", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "it is somebody else's", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "the body is not JSON", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    InstanceOf(service, id): InstanceOf,
    _: Unconditional,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let mut query = Parameters::of(&uri);
    let token = query.one("lease")?;
    query.done::<__path_change>()?;
    let body = body::json(&app, &headers, body).await?;
    let change: ChangeDocument = serde_json::from_slice(&body).map_err(|error| not_a_change(&error))?;
    let weight = match (change.weight, change.drain) {
        (Some(weight), None) => Weight::Is(weight),
        (None, Some(true)) => Weight::Drained,
        (None, Some(false)) => Weight::Undrained,
        (None, None) | (Some(_), Some(_)) => {
            return Err(Problem::bad_request("accepted: one of weight and drain"));
        }
    };
    let standing = match app.leases.set_weight(&service, &id, token.as_deref(), weight) {
        Ok(standing) => standing,
        Err(refused) => return Err(app.not_ours(&service, &id, &refused).await),
    };
    let wanted = standing.data.weight;
    let shown = app.shows(&service, &id, |data| data.weight == wanted).await;
    let code = if shown { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(json(code, &lease(&service, &id, &standing)))
}

fn not_a_change(error: &serde_json::Error) -> Problem {
    let shown: String = error.to_string().chars().take(200).collect();
    Problem::bad_request(format_args!(
        "{shown}; accepted: {{\"weight\": N}}, {{\"drain\": true}} or {{\"drain\": false}}"
    ))
}
