//! Services, their instances and their masters.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use proto::ServiceName;
use tokio::time::timeout;

use super::documents::{LeadingDocument, ServiceCount, ServiceDocument, ServicesDocument, Trust};
use super::parameters::{Parameters, Service};
use super::{App, JSON, json_or_known};
use crate::fleet::{Answer, Existence, Followed, Leading, Published, Revision};
use crate::problem::Details;
use crate::serve::Leaving;
use crate::{Problem, entity_tag, wall};

/// The longest that a blocking query waits: no longer than a client may read nothing.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// All services
///
/// The names of all services and how many instances each has. ZooKeeper is asked at most once a second, whoever asks here, and once more for
/// each service that is registered here as a new one.
///
/// While it never told which there are, those are told of which there is a list, and those that the gateway was started with; `source` is
/// `unknown` then, for there may be others. Without any list it is 503.
#[utoipa::path(
    get,
    path = "/v1/services",
    tag = "discovery",
    params(("If-None-Match" = Option<String>, Header, description = "the ETag of the answer that is known already")),
    responses(
        (status = 200, description = "the services", body = ServicesDocument, headers(("etag" = String, description = "the same while the answer is"))),
        (status = 304, description = "that answer is known already"),
        (status = 400, description = "not understood", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "ZooKeeper never told, and there is no list of any service", body = Details, content_type = "application/problem+json"),
    )
)]
pub(super) async fn services(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Parameters::of(&uri);
    query.done::<__path_services>()?;
    let (source, stale_since, counts) = match app.fleet.counts().await {
        Some(Answer { value, stale_since: None }) => (Trust::Live, None, value),
        Some(Answer { value, stale_since }) => (Trust::Stale, stale_since, value),
        None => {
            let known = app.fleet.known_counts().ok_or_else(|| app.not_known("which services there are"))?;
            (Trust::Unknown, None, Arc::new(known))
        }
    };
    let services =
        counts.iter().map(|(name, instances)| ServiceCount { name: name.to_string(), instances: *instances });
    let document =
        ServicesDocument { source, stale_since: stale_since.map(wall::at), services: services.collect() };
    Ok(json_or_known(&headers, &document))
}

/// A service
///
/// Its instances and its master, as last heard of from ZooKeeper. A service is there when it has a directory in ZooKeeper, when somebody
/// is registered, or when the gateway was started with its name; others are 404, as ZooKeeper says to a question that is asked after the request
/// came. All such requests share ten questions a second at most. While ZooKeeper is away nobody can tell: what is not known is 503, and not 404.
///
/// With `wait` and `revision` the answer waits until the revision is another one; when the time is over, the same state is given again.
#[utoipa::path(
    get,
    path = "/v1/services/{service}",
    tag = "discovery",
    params(
        ("service" = String, Path, description = "the name of the service"),
        ("wait" = Option<String>, Query, description = "how long to wait for another revision, as in 30s; 60s at most"),
        ("revision" = Option<String>, Query, description = "the revision that is known already, or the ETag"),
        ("If-None-Match" = Option<String>, Header, description = "the ETag of the state that is known already"),
    ),
    responses(
        (status = 200, description = "the service", body = ServiceDocument<'static>, headers(("etag" = String, description = "the revision"))),
        (status = 304, description = "that state is known already"),
        (status = 400, description = "not understood", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "there is no such service", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "there is no list yet, or too many wait for news", body = Details, content_type = "application/problem+json"),
    )
)]
pub(super) async fn service(
    State(app): State<Arc<App>>,
    Service(service): Service,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut query = Parameters::of(&uri);
    let wait = query.duration("wait", LONGEST_WAIT)?;
    let revision = query.one("revision")?;
    query.done::<__path_service>()?;
    let seen = match (wait, revision) {
        (None, None) => None,
        (Some(wait), Some(revision)) => {
            let seen = Revision::parse(&revision).ok_or_else(|| {
                let shown: String = revision.chars().take(40).collect();
                Problem::bad_request(format_args!(
                    "revision is {shown:?}; accepted: the revision of an answer, or its ETag"
                ))
            })?;
            Some((wait, seen))
        }
        _ => return Err(Problem::bad_request("wait and revision come together: both or none are accepted")),
    };
    let (followed, mut now) = app.known(&service).await?;
    if let Some((wait, seen)) = seen
        && now.revision == seen
        && !wait.is_zero()
    {
        let _place = app.place_to_wait()?;
        now = app.other_than(&followed, now, &seen, wait).await;
    }
    Ok(state(&now, &headers))
}

/// The state of a service, or that it is known already.
fn state(now: &Published, headers: &HeaderMap) -> Response {
    entity_tag::answer(headers, now.revision.etag(), JSON, || now.document())
}

/// The master of a service
///
/// Who leads; nobody may. Whether it knows and believes that it leads only itself can tell, so its term goes with whatever it writes.
#[utoipa::path(
    get,
    path = "/v1/services/{service}/master",
    tag = "discovery",
    params(
        ("service" = String, Path, description = "the name of the service"),
        ("If-None-Match" = Option<String>, Header, description = "the ETag of the answer that is known already"),
    ),
    responses(
        (status = 200, description = "who leads, if anybody does", body = LeadingDocument<'static>, headers(("etag" = String, description = "the same while the answer is"))),
        (status = 304, description = "that answer is known already"),
        (status = 400, description = "not understood", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "there is no such service, or no elections", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "it is not known yet", body = Details, content_type = "application/problem+json"),
    )
)]
pub(super) async fn master(
    State(app): State<Arc<App>>,
    Service(service): Service,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Parameters::of(&uri);
    query.done::<__path_master>()?;
    if !app.fleet.has_elections() {
        return Err(Problem::no_elections());
    }
    let (_, now) = app.known(&service).await?;
    if now.leading == Leading::Unknown {
        return Err(app.not_known("who leads"));
    }
    Ok(json_or_known(&headers, &LeadingDocument::of(&now)))
}

/// That there is no such service.
pub(super) fn nowhere(service: &ServiceName) -> Problem {
    Problem::unknown_service(format_args!("nobody has registered as {service:?}"))
}

impl App {
    /// A service that is there, and what is known of it.
    ///
    /// # Errors
    ///
    /// When there is none, or nothing is known of it in time.
    pub(super) async fn known(
        &self,
        service: &ServiceName,
    ) -> Result<(Arc<Followed>, Arc<Published>), Problem> {
        self.callable(service)?;
        if let Some(known) = self.populated(service) {
            return Ok(known);
        }
        // Asked before it is followed: a watch is not to be had by inventing names.
        let (_sought, followed) = match self.fleet.existence(service).await {
            Existence::Nowhere => return Err(nowhere(service)),
            Existence::There => (None, self.fleet.follow(service).map_err(Problem::too_many)?),
            Existence::Unknown => {
                let (sought, followed) = self.fleet.seek(service).map_err(Problem::too_many)?;
                (Some(sought), followed)
            }
        };
        match followed.ready(self.fleet.patience()).await {
            Some(now) => Ok((followed, now)),
            None => Err(self.not_known_because(&followed)),
        }
    }

    /// A service that is there, followed from now on, whether or not anything is known of it yet.
    ///
    /// # Errors
    ///
    /// When there is none, or nobody can tell and nothing is heard of it in time.
    pub(super) async fn there(&self, service: &ServiceName) -> Result<Arc<Followed>, Problem> {
        self.callable(service)?;
        if let Some((followed, _)) = self.populated(service) {
            return Ok(followed);
        }
        match self.fleet.existence(service).await {
            Existence::Nowhere => Err(nowhere(service)),
            Existence::There => self.fleet.follow(service).map_err(Problem::too_many),
            Existence::Unknown => Ok(self.known(service).await?.0),
        }
    }

    /// A service that is followed already and has instances, so that there is no need to ask whether it is there.
    fn populated(&self, service: &ServiceName) -> Option<(Arc<Followed>, Arc<Published>)> {
        let followed = self.fleet.followed(service)?;
        let now = followed.now().filter(|now| !now.view.entries.is_empty())?;
        Some((followed, now))
    }

    /// Refuses what no service is called in this layout, whoever follows something by that name.
    pub(super) fn callable(&self, service: &ServiceName) -> Result<(), Problem> {
        self.fleet.check_layout(service).map_err(Problem::another_name)
    }

    /// Waits until a service is in another state than `seen`, or the time is over, or the gateway ends, or the client closes its side: one that has
    /// left for good is not to keep its place, and one that has not gets an answer.
    async fn other_than(
        &self,
        followed: &Followed,
        now: Arc<Published>,
        seen: &Revision,
        wait: Duration,
    ) -> Arc<Published> {
        let mut published = followed.published();
        let leaving = Leaving::of_client();
        let other = async {
            let is_other =
                |now: &Option<Arc<Published>>| now.as_ref().is_some_and(|now| now.revision != *seen);
            published.wait_for(is_other).await.ok().and_then(|now| now.clone())
        };
        let other = async {
            tokio::select! {
                biased;
                other = other => other,
                () = self.closing() => None,
                () = leaving.closes() => None,
            }
        };
        timeout(wait, other).await.ok().flatten().unwrap_or(now)
    }

    /// Why there is no list, if that is known.
    fn not_known_because(&self, followed: &Followed) -> Problem {
        match followed.problem() {
            Some(problem) => {
                Problem::not_known_yet(format_args!("the service cannot be followed: {problem}"))
            }
            None => self.not_known("the instances of the service"),
        }
    }
}
