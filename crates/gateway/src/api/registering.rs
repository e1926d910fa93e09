//! Instances of programs without a ZooKeeper client: the gateway holds the node for as long as they renew it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use proto::{Instance, InstanceId, NodeData, ServiceName};
use registry::Status;
use serde_json::Value;
use tokio::time::timeout;

use super::documents::{
    ChangeDocument, InstanceDocument, LeaseDocument, LeaseState, OneInstanceDocument, RegistrationDocument,
};
use super::parameters::{InstanceOf, Parameters};
use super::{App, body, json};
use crate::fleet::Published;
use crate::leases::{Refused, Standing, Weight};
use crate::problem::Details;
use crate::{Problem, wall};

/// How long a lease lasts for which nothing else was asked, in seconds.
const TTL: u64 = 30;

/// How long a lease may last, in seconds.
const LONGEST_TTL: u64 = 600;

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
        (status = 503, description = "there is no list yet", body = Details, content_type = "application/problem+json"),
    )
)]
pub(super) async fn instance(
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
        return Err(unknown(&service, &id));
    }
    Ok(one(&service, Some((&now, &id)), ours.as_ref()))
}

fn one(service: &ServiceName, now: Option<(&Published, &InstanceId)>, ours: Option<&Standing>) -> Response {
    let source = now.map_or(super::documents::Trust::Unknown, |(now, _)| now.view.source.into());
    let document = OneInstanceDocument {
        service: service.as_str(),
        instance: now.and_then(|(now, id)| listed(now, id)).map(|it| InstanceDocument::of(it)),
        source,
        ours: ours.is_some(),
        ends: ours.map(|ours| wall::at(ours.ends)),
    };
    json(StatusCode::OK, &document)
}

/// Register an instance
///
/// The gateway keeps it registered for as long as it is renewed. The id is yours to choose; the address is a good one. Whoever registers an
/// id last has it, and is told when another program had it here (`took_over`); the other one is told when it renews with its `lease`.
/// ZooKeeper need not be there: then the answer is 202, and the instance is registered as soon as it is.
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
        (status = 200, description = "it is registered, in place of another program's", body = LeaseDocument),
        (status = 201, description = "it is registered", body = LeaseDocument, headers(("location" = String, description = "the instance"))),
        (status = 202, description = "it will be registered as soon as ZooKeeper is there", body = LeaseDocument, headers(("location" = String, description = "the instance"))),
        (status = 400, description = "not understood, or it cannot be stored", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "somebody else registered the id at the same time", body = Details, content_type = "application/problem+json"),
        (status = 413, description = "the body is too large", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "the body is not JSON", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "too many are registered, or the gateway ends", body = Details, content_type = "application/problem+json"),
    )
)]
pub(super) async fn register(
    State(app): State<Arc<App>>,
    InstanceOf(service, id): InstanceOf,
    query: Parameters,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    query.done(&[])?;
    let body = body::json(&headers, body).await?;
    let ttl = ttl(&body)?;
    let data = NodeData::from_json(&body).map_err(Problem::bad_request)?;
    let standing = app.leases.register(&service, &id, data, ttl).map_err(|refused| refusal(&refused))?;
    let mut statuses = standing.status.clone();
    let open = |status: &Status| matches!(status, Status::Registering { .. });
    // Or not: what it is by then is what is answered.
    let _ = timeout(app.fleet.patience(), statuses.wait_for(|status| !open(status))).await;
    let status = statuses.borrow().clone();
    let code = match status {
        Status::Registered { .. } if standing.took_over => StatusCode::OK,
        Status::Registered { .. } => StatusCode::CREATED,
        Status::Registering { .. } => StatusCode::ACCEPTED,
        Status::Replaced => return Err(refusal(&Refused::Replaced)),
        Status::Withdrawn => return Err(Problem::closing()),
    };
    app.fleet.forget_names().await;
    let is_written = code == StatusCode::CREATED;
    if code == StatusCode::OK || is_written && app.fleet.followed(&service).is_some() {
        // What was there under the id may not be overwritten yet; and whoever asks next is to find this one.
        app.shows(&service, &id, |data| *data == standing.data).await;
    }
    let mut response = json(code, &lease(&service, &id, &standing));
    if let Ok(location) = HeaderValue::from_str(uri.path()) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// Renew an instance
///
/// It stays registered for its whole time again. 404 means: register it again.
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
        (status = 200, description = "it is renewed", body = LeaseDocument),
        (status = 404, description = "it is not registered here, or was not renewed in time", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "somebody else has registered the id since", body = Details, content_type = "application/problem+json"),
    )
)]
pub(super) async fn renew(
    State(app): State<Arc<App>>,
    InstanceOf(service, id): InstanceOf,
    mut query: Parameters,
) -> Result<Response, Problem> {
    let token = query.one("lease")?;
    query.done(&["lease"])?;
    let standing = app.leases.renew(&service, &id, token.as_deref()).map_err(|refused| refusal(&refused))?;
    Ok(json(StatusCode::OK, &lease(&service, &id, &standing)))
}

/// Withdraw an instance
///
/// It is gone from ZooKeeper when 204 is answered. While ZooKeeper is away the answer is 202, and it goes as soon as it can.
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
        (status = 404, description = "it is not registered", body = Details, content_type = "application/problem+json"),
        (status = 409, description = "it is somebody else's", body = Details, content_type = "application/problem+json"),
    )
)]
pub(super) async fn withdraw(
    State(app): State<Arc<App>>,
    InstanceOf(service, id): InstanceOf,
    mut query: Parameters,
) -> Result<Response, Problem> {
    let token = query.one("lease")?;
    query.done(&["lease"])?;
    match app.leases.withdraw(&service, &id, token.as_deref(), app.fleet.patience()).await {
        Ok(true) => Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(false) => Ok(StatusCode::ACCEPTED.into_response()),
        Err(refused) => Err(app.not_ours(&service, &id, &refused).await),
    }
}

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
        (status = 409, description = "it is somebody else's", body = Details, content_type = "application/problem+json"),
        (status = 415, description = "the body is not JSON", body = Details, content_type = "application/problem+json"),
    )
)]
pub(super) async fn change(
    State(app): State<Arc<App>>,
    InstanceOf(service, id): InstanceOf,
    mut query: Parameters,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let token = query.one("lease")?;
    query.done(&["lease"])?;
    let body = body::json(&headers, body).await?;
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

/// The time to live that stands beside the node data.
fn ttl(body: &[u8]) -> Result<Duration, Problem> {
    #[derive(serde::Deserialize)]
    struct Beside {
        ttl: Option<Value>,
    }
    // What else is wrong with it is told by those who read the rest.
    let ttl = serde_json::from_slice::<Beside>(body).ok().and_then(|beside| beside.ttl);
    let seconds = match ttl {
        None => Some(TTL),
        Some(ttl) => ttl.as_u64().filter(|seconds| (1..=LONGEST_TTL).contains(seconds)),
    };
    let refuse =
        || Problem::bad_request(format_args!("ttl: accepted: a whole number of seconds, 1 to {LONGEST_TTL}"));
    seconds.map(Duration::from_secs).ok_or_else(refuse)
}

fn not_a_change(error: &serde_json::Error) -> Problem {
    let shown: String = error.to_string().chars().take(200).collect();
    Problem::bad_request(format_args!(
        "{shown}; accepted: {{\"weight\": N}}, {{\"drain\": true}} or {{\"drain\": false}}"
    ))
}

fn lease(service: &ServiceName, id: &InstanceId, standing: &Standing) -> LeaseDocument {
    let (state, problem) = match &*standing.status.borrow() {
        Status::Registered { .. } => (LeaseState::Registered, None),
        Status::Registering { problem } => {
            let problem = problem.as_ref().map(|problem| match problem {
                registry::Error::ZooKeeper(cause) => cause.to_string(),
                other => other.to_string(),
            });
            (LeaseState::Registering, problem)
        }
        Status::Replaced | Status::Withdrawn => (LeaseState::Replaced, None),
    };
    LeaseDocument {
        service: service.to_string(),
        id: id.to_string(),
        lease: standing.token.to_string(),
        ttl: standing.ttl.as_secs(),
        ends: wall::at(standing.ends),
        state,
        problem,
        took_over: standing.took_over,
    }
}

fn refusal(refused: &Refused) -> Problem {
    match refused {
        Refused::Unknown => Problem::unknown_instance(refused),
        Refused::Another => Problem::conflict("another-lease", refused),
        Refused::Replaced => Problem::conflict("replaced", refused),
        Refused::Invalid(_) => Problem::bad_request(refused),
        Refused::Full => Problem::too_many(refused),
        Refused::Closed => Problem::closing(),
    }
}

fn unknown(service: &ServiceName, id: &InstanceId) -> Problem {
    Problem::unknown_instance(format_args!("{service:?} has no instance {id:?}"))
}

fn listed<'a>(now: &'a Published, id: &InstanceId) -> Option<&'a Arc<Instance>> {
    let entries = &now.view.entries;
    entries.binary_search_by(|instance| instance.id.cmp(id)).ok().and_then(|at| entries.get(at))
}

impl App {
    /// Waits until an instance is listed with such data, no longer than for anything of ZooKeeper.
    async fn shows(&self, service: &ServiceName, id: &InstanceId, is: impl Fn(&NodeData) -> bool) -> bool {
        let Ok(followed) = self.fleet.follow(service) else { return false };
        let mut published = followed.published();
        let shown = |now: &Option<Arc<Published>>| {
            now.as_ref().and_then(|now| listed(now, id)).is_some_and(|instance| is(&instance.data))
        };
        timeout(self.fleet.patience(), published.wait_for(shown)).await.is_ok_and(|shown| shown.is_ok())
    }

    /// Why an instance cannot be changed here: it may be there, and somebody else's.
    async fn not_ours(&self, service: &ServiceName, id: &InstanceId, refused: &Refused) -> Problem {
        if !matches!(refused, Refused::Unknown) {
            return refusal(refused);
        }
        match self.known(service).await {
            Ok((_, now)) if listed(&now, id).is_some() => Problem::conflict(
                "not-ours",
                "it was not registered by this gateway, which changes and withdraws only what it registered",
            ),
            Ok(_) => unknown(service, id),
            Err(problem) => problem,
        }
    }
}
