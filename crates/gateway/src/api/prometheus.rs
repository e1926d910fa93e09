//! For Prometheus: what to scrape, and what to scrape here.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::future::try_join_all;
use proto::{Instance, ServiceName};
use serde::Serialize;
use utoipa::ToSchema;

use super::parameters::Parameters;
use super::{App, json};
use crate::Problem;
use crate::fleet::Published;
use crate::problem::Details;

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What Prometheus is to scrape
///
/// In the format of its HTTP service discovery: one group for each instance that has an address. Of the services that are asked for, else of
/// those that the gateway was started with, else of all. When a list is missing there is no answer, and Prometheus goes on with what it has.
#[utoipa::path(
    get,
    path = "/v1/prometheus/targets",
    tag = "operation",
    params(("service" = Option<Vec<String>>, Query, description = "the name of a service; may come several times")),
    responses(
        (status = 200, description = "the targets", body = Vec<Group>),
        (status = 400, description = "not understood", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "there is no such service", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "a list is missing", body = Details, content_type = "application/problem+json"),
    )
)]
pub(super) async fn targets(State(app): State<Arc<App>>, mut query: Parameters) -> Result<Response, Problem> {
    let asked = query.all("service");
    query.done(&["service"])?;
    let parse = |name: &String| {
        ServiceName::parse(name).map_err(|refusal| Problem::bad_request(format_args!("service: {refusal}")))
    };
    let mut services = asked.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    if services.is_empty() {
        services = app.fleet.configured().iter().cloned().collect();
    }
    if services.is_empty() {
        let all = app.fleet.names().await.filter(|names| names.stale_since.is_none());
        let all = all.ok_or_else(|| app.not_known("which services there are"))?;
        services = all.value.iter().cloned().collect();
    }
    let known = try_join_all(services.iter().map(|service| app.known(service))).await?;
    let groups: Vec<_> = known.iter().flat_map(|(_, now)| groups(now)).collect();
    Ok(json(StatusCode::OK, &groups))
}

/// A target, and what is known of it.
#[derive(Serialize, ToSchema)]
pub(super) struct Group {
    /// Its address.
    targets: [String; 1],
    /// What Prometheus may make labels of: `__meta_headkeeper_service`, `_id`, `_weight`, `_unique_code`, `_master`, and `_metadata_…` for
    /// each entry of the metadata.
    labels: BTreeMap<String, String>,
}

fn groups(now: &Published) -> impl Iterator<Item = Group> {
    let master = now.leading.master().map(|master| &*master.id);
    now.view.entries.iter().filter_map(move |instance| group(&now.service, instance, master))
}

fn group(service: &ServiceName, instance: &Instance, master: Option<&str>) -> Option<Group> {
    let Instance { id, data } = instance;
    let address = data.address.as_ref()?;
    let mut labels = BTreeMap::new();
    let mut label =
        |name: &str, value: &str| labels.insert(format!("__meta_headkeeper_{name}"), value.to_owned());
    label("service", service.as_str());
    label("id", id.as_str());
    label("weight", &data.weight.to_string());
    label("master", if master == Some(id.as_str()) { "true" } else { "false" });
    if let Some(code) = &data.unique_code {
        label("unique_code", code);
    }
    for (key, value) in data.metadata.iter() {
        label(&format!("metadata_{}", as_label(key)), value);
    }
    Some(Group { targets: [address.to_string()], labels })
}

/// What of a key may stand in the name of a label.
fn as_label(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// What to know of this gateway
///
/// In the format of OpenMetrics: the state of the session, how old lists are, how many instances, picks and requests.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operation",
    responses((status = 200, description = "the metrics", body = String, content_type = "application/openmetrics-text"))
)]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    match app.metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
