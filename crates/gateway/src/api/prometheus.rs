//! For Prometheus: what to scrape, and what to scrape here.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures::future::join_all;
use proto::{Instance, Metadata, ServiceName};
use serde::Serialize;
use tracing::warn;
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
/// those that the gateway was started with, else of all. While a list is not known yet there is no answer, and Prometheus goes on with what it
/// has. A service that ZooKeeper refuses to tell of, or that went meanwhile, is left out and holds nobody up: `headkeeper_services_without_list`
/// counts those, and the log tells why. So are services above the number that is followed at most, where all are asked for. When nothing is
/// left there is no answer either.
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
pub(super) async fn targets(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Problem> {
    let mut query = Parameters::of(&uri);
    let asked = query.all("service");
    query.done::<__path_targets>()?;
    let parse = |name: &Cow<'_, str>| {
        ServiceName::parse(name).map_err(|refusal| Problem::bad_request(format_args!("service: {refusal}")))
    };
    let mut services = asked.iter().map(parse).collect::<Result<BTreeSet<_>, _>>()?;
    // Who asks for one by its name is told that there is none; of all there are, one may have gone meanwhile.
    let is_asked = !services.is_empty();
    if services.is_empty() {
        services = app.fleet.configured().clone();
    }
    if services.is_empty() {
        let all = app.fleet.names().await.filter(|names| names.stale_since.is_none());
        let all = all.ok_or_else(|| app.not_known("which services there are"))?;
        services = (*all.value).clone();
    }
    let known = join_all(services.iter().map(|service| app.known(service))).await;
    let is_whole = !is_asked && app.fleet.configured().is_empty();
    let (mut all, mut refused, mut left_out) = (Vec::new(), None, 0);
    for (service, known) in services.iter().zip(known) {
        match known {
            Ok((_, now)) => all.push(now),
            Err(problem) if problem.status() == StatusCode::NOT_FOUND && is_asked => return Err(problem),
            Err(problem) if problem.status() == StatusCode::NOT_FOUND => {}
            Err(problem) if app.is_refused(service) => refused = Some(problem),
            // No waiting would change that, and the others are there.
            Err(problem) if is_whole && problem.is_limit() => {
                left_out += 1;
                refused = Some(problem);
            }
            Err(problem) => return Err(problem),
        }
    }
    if is_whole {
        app.leave_out(left_out);
    }
    match refused {
        Some(problem) if all.is_empty() => Err(problem),
        _ => Ok(json(StatusCode::OK, &all.iter().flat_map(|now| groups(now)).collect::<Vec<_>>())),
    }
}

impl App {
    /// Counts the services that targets lack, and tells once when there are some.
    fn leave_out(&self, services: usize) {
        if self.fleet.leave_out(services) == 0 && services > 0 {
            warn!(
                services,
                "Prometheus gets no targets of some services: no more are followed at the same time; name those it is to have (--service, or ?service= in what it asks)"
            );
        }
    }

    /// Whether ZooKeeper refuses to tell of a service, which no waiting will change.
    fn is_refused(&self, service: &ServiceName) -> bool {
        self.fleet.followed(service).is_some_and(|followed| followed.problem().is_some())
    }
}

/// A target, and what is known of it.
#[derive(Serialize, ToSchema)]
pub(super) struct Group {
    /// Its address.
    targets: [String; 1],
    /// What Prometheus may make labels of: `__meta_headkeeper_service`, `_id`, `_weight`, `_unique_code`, `_master`, and `_metadata_…` for
    /// each entry of the metadata, with `_` for what may not stand in a label. Of several keys that are the same then, one that stands so
    /// in the metadata has the label, and the others, in their order, have a number behind it, as in `_metadata_my_zone_2`.
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
    for (name, value) in metadata_labels(&data.metadata) {
        label(&format!("metadata_{name}"), value);
    }
    Some(Group { targets: [address.to_string()], labels })
}

/// The names of labels, one for each entry: none is lost because two keys would have the same.
fn metadata_labels(metadata: &Metadata) -> BTreeMap<String, &str> {
    let (exact, others): (Vec<_>, Vec<_>) = metadata.iter().partition(|(key, _)| as_label(key) == *key);
    let mut labels: BTreeMap<_, _> = exact.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let mut numbers = Numbers::default();
    for (key, value) in others {
        let name = numbers.free(as_label(key), |name| labels.contains_key(name));
        labels.insert(name, value);
    }
    labels
}

/// Which number the next one of several with the same name is to try.
#[derive(Default)]
struct Numbers {
    next: HashMap<String, usize>,
}

impl Numbers {
    /// A name that is not taken: the plain one, else the first with a number behind it. Whatever was taken has to stay so: it is not looked
    /// at again, for somebody may have thousands of keys.
    fn free(&mut self, plain: String, is_taken: impl Fn(&str) -> bool) -> String {
        let name = |number: usize| if number == 1 { plain.clone() } else { format!("{plain}_{number}") };
        let first = self.next.get(&plain).copied().unwrap_or(1);
        let (mut number, mut free) = (first, name(first));
        while is_taken(&free) {
            number += 1;
            free = name(number);
        }
        self.next.insert(plain, number + 1);
        free
    }
}

/// What of a key may stand in the name of a label.
fn as_label(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// What to know of this gateway
///
/// In the format of OpenMetrics: the state of the session, how old lists are, how many instances, picks and requests. Whatever stands in
/// the query is ignored.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operation",
    responses(
        (status = 200, description = "the metrics", body = String, content_type = "application/openmetrics-text"),
        (status = 400, description = "not understood: it is for no host", body = Details, content_type = "application/problem+json"),
        (status = 500, description = "they could not be written down", body = Details, content_type = "application/problem+json"),
    )
)]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let text =
        app.metrics.text().map_err(|_| Problem::not_written("what is counted cannot be written down"))?;
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn each_entry_of_the_metadata_has_a_label_of_its_own() {
        let metadata = Metadata::from([
            ("my zone", "a"),
            ("my-zone", "b"),
            ("my_zone", "c"),
            ("my_zone_2", "d"),
            ("rack", "e"),
            ("größe", "f"),
            ("gr.. e", "g"),
        ]);
        let labels = metadata_labels(&metadata);
        let expected = [
            ("gr__e", "f"),
            ("gr___e", "g"),
            ("my_zone", "c"),
            ("my_zone_2", "d"),
            ("my_zone_3", "a"),
            ("my_zone_4", "b"),
            ("rack", "e"),
        ];
        assert_eq!(labels, expected.map(|(name, value)| (name.to_owned(), value)).into());
    }

    /// Thousands of keys that are the same as names of labels.
    fn odd() -> impl Iterator<Item = String> {
        const SIGNS: &[u8] = b"!#$%&'()*+,-./:;<=>?@[]^";

        let sign = |place: usize| char::from(SIGNS[place % SIGNS.len()]);
        (0..10_000).map(move |it| [it, it / SIGNS.len(), it / SIGNS.len().pow(2)].map(sign).iter().collect())
    }

    #[test]
    fn as_many_entries_as_there_may_be_have_a_label_each() {
        let metadata: Metadata = odd().map(|key| (key, "")).chain([("____7".to_owned(), "")]).collect();
        assert_eq!(metadata.len(), 10_001);
        let labels = metadata_labels(&metadata);
        assert_eq!(labels.len(), 10_001);
        assert!(labels.contains_key("___") && labels.contains_key("____10001"));
    }

    #[test]
    fn a_name_that_is_taken_is_tried_once() {
        let tries = Cell::new(0);
        let mut taken: BTreeSet<_> = (2..=500).map(|number| format!("a_{number}")).collect();
        let mut numbers = Numbers::default();
        for plain in ["a", "b"] {
            for _ in 0..1_000 {
                let is_taken = |name: &str| {
                    tries.set(tries.get() + 1);
                    taken.contains(name)
                };
                let name = numbers.free(plain.to_owned(), is_taken);
                assert!(taken.insert(name));
            }
        }
        assert_eq!(tries.get(), 499 + 2_000);
        assert!(taken.contains("a_1499") && taken.contains("b_1000"));
    }
}
