//! One instance for one request.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use loadbalance::{Key, KeyKind, Name, PickError, Request};
use proto::ServiceName;
use tokio::time::timeout;

use super::documents::{ExplainedDocument, InstanceDocument, PickDocument};
use super::parameters::{Parameters, Service};
use super::services::nowhere;
use super::{App, json, whole};
use crate::Problem;
use crate::fleet::{Existence, Followed, Published};
use crate::problem::Details;

/// Pick an instance
///
/// Chooses one instance by an algorithm. It counts nothing in flight, for the gateway does not learn when the request is done:
/// `least-connect` goes by nothing here.
#[utoipa::path(
    get,
    path = "/v1/services/{service}/pick",
    tag = "discovery",
    params(
        ("service" = String, Path, description = "the name of the service"),
        ("algorithm" = Option<String>, Query, description = "round-robin (unless given), weight-round-robin, random, weight-random, ip-hash, url-hash or least-connect"),
        ("key" = Option<String>, Query, description = "for url-hash a path with its query, for ip-hash the address of a client; others take none"),
        ("explain" = Option<bool>, Query, description = "true: tell of each instance why it was chosen or was not"),
    ),
    responses(
        (status = 200, description = "who was chosen", body = PickDocument<'static>),
        (status = 400, description = "not understood", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "there is no such service", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "there is nobody to choose, or no list yet", body = Details, content_type = "application/problem+json"),
    )
)]
pub(super) async fn pick(
    State(app): State<Arc<App>>,
    Service(service): Service,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut query = Parameters::of(&uri);
    let algorithm: Name = query.parsed("algorithm")?.unwrap_or(Name::RoundRobin);
    let key = query.one("key")?;
    let explain = query.switch("explain")?;
    query.done::<__path_pick>()?;
    let request = request(algorithm, key.as_deref())?;
    let (followed, now) = app.can_pick(&service).await?;
    let balancer = followed.balancer(algorithm);
    if !explain {
        let mut picked = balancer.pick(&request);
        if matches!(picked, Err(PickError::NotReady)) {
            // The first list is here, and may not be prepared for yet.
            let _ = timeout(app.fleet.patience(), balancer.ready()).await;
            picked = balancer.pick(&request);
        }
        followed.count_pick(algorithm, picked.is_ok());
        return match picked {
            Ok(picked) => Ok(whole(now.picked(algorithm, picked.candidate().instance()))),
            Err(error) => Err(app.nobody(&service, &error).await),
        };
    }
    let _ = timeout(app.fleet.patience(), balancer.ready()).await;
    let candidates = balancer.candidates();
    let explanation = balancer.explain(&request);
    followed.count_pick(algorithm, explanation.chosen.is_some());
    let chosen = |id| candidates.iter().find(|candidate| candidate.id() == id);
    match (explanation.chosen.as_ref().and_then(chosen), &explanation.error) {
        (Some(candidate), _) => {
            let reasons = explanation.instances.iter().map(ExplainedDocument::of).collect();
            let picked = InstanceDocument::of(candidate.instance());
            Ok(json(StatusCode::OK, &PickDocument::new(&now, algorithm, picked).explained(reasons)))
        }
        (None, Some(error)) => Err(app.nobody(&service, error).await),
        // It was chosen from a list that came in between.
        (None, None) => Err(Problem::nobody("the list changed meanwhile: ask again")),
    }
}

/// What the pick is for.
fn request(algorithm: Name, key: Option<&str>) -> Result<Request<'_>, Problem> {
    let kind = algorithm.key();
    match (kind, key) {
        (None, None) => Ok(Request::default()),
        (None, Some(_)) => Err(Problem::bad_request(format_args!(
            "{algorithm} chooses by no key; accepted: no key, or an algorithm with one: ip-hash, url-hash"
        ))),
        (Some(kind), None) => Err(Problem::bad_request(format_args!(
            "{algorithm} chooses by {kind}, so key is needed; accepted: {}",
            kind.accepted()
        ))),
        (Some(kind), Some(key)) => parsed(kind, key).map(Request::with_key),
    }
}

fn parsed(kind: KeyKind, key: &str) -> Result<Key<'_>, Problem> {
    kind.parse(key).map_err(|refusal| Problem::bad_request(format_args!("key: {refusal}")))
}

impl App {
    /// A service whose instances can be picked from.
    async fn can_pick(&self, service: &ServiceName) -> Result<(Arc<Followed>, Arc<Published>), Problem> {
        self.callable(service)?;
        // Whether there is somebody, the pick will tell.
        if let Some(followed) = self.fleet.followed(service)
            && let Some(now) = followed.now()
        {
            return Ok((followed, now));
        }
        self.known(service).await
    }

    /// Why there was nobody.
    async fn nobody(&self, service: &ServiceName, error: &PickError) -> Problem {
        match error {
            PickError::Empty if self.fleet.existence(service).await == Existence::Nowhere => nowhere(service),
            PickError::NotReady | PickError::Closed => self.not_known("the instances of the service"),
            error => Problem::nobody(error),
        }
    }
}
