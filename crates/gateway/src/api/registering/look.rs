//! Looks at one instance.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use proto::{InstanceId, ServiceName};

use super::listed;
use crate::api::documents::{InstanceDocument, OneInstanceDocument, Trust};
use crate::api::parameters::{InstanceOf, Parameters};
use crate::api::{App, json};
use crate::fleet::Published;
use crate::leases::Standing;
use crate::problem::Details;
use crate::{Problem, wall};

/// One instance
///
/// As it is listed, and whether this gateway registers it.
#[utoipa::path(
    get,
    path = "/v1/services/{service}/instances/{id}",
    tag = "discovery",
    params(
        ("service" = String, Path, description = "the name of the service"),
        ("id" = String, Path, description = "the id of the instance"),
    ),
    responses(
        (status = 200, description = "the instance", body = OneInstanceDocument<'static>),
        (status = 404, description = "there is no such instance", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "there is no list yet, or it is old and has no such instance", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn instance(
    State(app): State<Arc<App>>,
    InstanceOf(service, id): InstanceOf,
    query: Parameters,
) -> Result<Response, Problem> {
    query.done(&[])?;
    let ours = app.leases.look(&service, &id);
    let now = match app.known(&service).await {
        Ok((_, now)) => now,
        // It is ours, and not there yet.
        Err(_) if ours.is_some() => return Ok(one(&service, None, ours.as_ref())),
        Err(problem) => return Err(problem),
    };
    if ours.is_none() && listed(&now, &id).is_none() {
        return Err(app.not_listed(&now, &id));
    }
    Ok(one(&service, Some((&now, &id)), ours.as_ref()))
}

fn one(service: &ServiceName, now: Option<(&Published, &InstanceId)>, ours: Option<&Standing>) -> Response {
    let source = now.map_or(Trust::Unknown, |(now, _)| now.view.source.into());
    let document = OneInstanceDocument {
        service: service.as_str(),
        instance: now.and_then(|(now, id)| listed(now, id)).map(|it| InstanceDocument::of(it)),
        source,
        ours: ours.is_some(),
        ends: ours.map(|ours| wall::at(ours.ends)),
    };
    json(StatusCode::OK, &document)
}
