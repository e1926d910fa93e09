//! Looks at one instance.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use proto::{InstanceId, ServiceName};

use super::listed;
use crate::api::documents::{InstanceDocument, OneInstanceDocument, Trust};
use crate::api::parameters::{InstanceOf, Parameters};
use crate::api::{App, json_or_known};
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
        ("If-None-Match" = Option<String>, Header, description = "the ETag of the answer that is known already"),
    ),
    responses(
        (status = 200, description = "the instance", body = OneInstanceDocument<'static>, headers(("etag" = String, description = "the same while the answer is"))),
        (status = 304, description = "that answer is known already"),
        (status = 400, description = "not understood", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "there is no such instance", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "there is no list yet, or it is old and has no such instance", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn instance(
    State(app): State<Arc<App>>,
    InstanceOf(service, id): InstanceOf,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Parameters::of(&uri);
    query.done::<__path_instance>()?;
    let ours = app.leases.look(&service, &id);
    let now = match app.known(&service).await {
        Ok((_, now)) => now,
        // It is ours, and not there yet.
        Err(_) if ours.is_some() => return Ok(json_or_known(&headers, &one(&service, None, ours.as_ref()))),
        Err(problem) => return Err(problem),
    };
    if ours.is_none() && listed(&now, &id).is_none() {
        return Err(app.not_listed(&now, &id));
    }
    Ok(json_or_known(&headers, &one(&service, Some((&now, &id)), ours.as_ref())))
}

fn one<'a>(
    service: &'a ServiceName,
    now: Option<(&'a Published, &InstanceId)>,
    ours: Option<&Standing>,
) -> OneInstanceDocument<'a> {
    OneInstanceDocument {
        service: service.as_str(),
        instance: now.and_then(|(now, id)| listed(now, id)).map(|it| InstanceDocument::of(it)),
        source: now.map_or(Trust::Unknown, |(now, _)| now.view.source.into()),
        ours: ours.is_some(),
        ends: ours.map(|ours| wall::at(ours.ends)),
    }
}
