//! Withdraws an instance.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::Problem;
use crate::api::App;
use crate::api::parameters::{InstanceOf, Parameters, Unconditional};
use crate::problem::Details;

/// Withdraw an instance
///
/// It is gone from ZooKeeper when 204 is answered. While ZooKeeper is away the answer is 202, and it goes as soon as it can. One that somebody
/// else registered in ZooKeeper since is 409, and stays.
#[utoipa::path(
    delete,
    path = "/v1/services/{service}/instances/{id}",
    tag = "registration",
    params(
        ("service" = String, Path, description = "the name of the service"),
        ("id" = String, Path, description = "the id of the instance"),
        ("lease" = Option<String>, Query, description = "the lease: then what another program registered since is not withdrawn"),
    ),
    responses(
        (status = 202, description = "it goes as soon as ZooKeeper is there"),
        (status = 204, description = "it is gone"),
        (status = 400, description = "not understood", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "it is not registered", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "it is not registered here, and nobody can tell whether it is elsewhere; or the gateway ends", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "it is somebody else's", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn withdraw(
    State(app): State<Arc<App>>,
    InstanceOf(service, id): InstanceOf,
    _: Unconditional,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut query = Parameters::of(&uri);
    let token = query.one("lease")?;
    query.done::<__path_withdraw>()?;
    match app.leases.withdraw(&service, &id, token.as_deref(), app.fleet.patience()).await {
        Ok(true) => {
            // Whoever asks next is not to find it.
            app.hides(&service, &id).await;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Ok(false) => Ok(StatusCode::ACCEPTED.into_response()),
        Err(refused) => Err(app.not_ours(&service, &id, &refused).await),
    }
}
