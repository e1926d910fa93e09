//! A service as it changes, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::sleep;

use super::App;
use super::parameters::{Parameters, Service};
use crate::Problem;
use crate::fleet::{Followed, Published};
use crate::problem::Details;
use crate::serve::Leaving;

/// After so long without news a stream says that it is still there.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a browser waits before it connects again.
const HELLO: Bytes = Bytes::from_static(b"retry: 1000\n\n");

/// A comment, which readers of events skip.
const STILL_HERE: Bytes = Bytes::from_static(b": still here\n\n");

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Follow a service
///
/// Server-sent events. Each is the whole service, as `GET /v1/services/{service}` has it, so none that was missed is missed for long;
/// fast ones may be skipped. The id is the revision: with `Last-Event-ID` the state that was seen last is not sent again, and the entity tag
/// tells whether that is the state now. Every 15 s without news there is a comment.
///
/// As for `GET /v1/services/{service}`, a service that is not there is 404: whoever waits for one that is to come asks again, or starts the gateway
/// with its name, which makes it one without instances. A stream that is open stays open when the last instance goes, and tells when one comes.
#[utoipa::path(
    get,
    path = "/v1/services/{service}/watch",
    tag = "discovery",
    params(
        ("service" = String, Path, description = "the name of the service"),
        ("Last-Event-ID" = Option<String>, Header, description = "the id of the event that was seen last"),
    ),
    responses(
        (status = 200, description = "the service whenever it changes", body = String, content_type = "text/event-stream",
            headers(("etag" = String, description = "the revision of the state when the stream began, unless there was none"))),
        (status = 400, description = "not understood", body = Details, content_type = "application/problem+json"),
        (status = 404, description = "there is no such service", body = Details, content_type = "application/problem+json"),
        (status = 503, description = "too many services are followed, too many wait for news, or nobody can tell whether it is there, or the gateway ends", body = Details, content_type = "application/problem+json"),
    )
)]
pub(super) async fn watch(
    State(app): State<Arc<App>>,
    Service(service): Service,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Parameters::of(&uri);
    query.done::<__path_watch>()?;
    if app.is_closing() {
        return Err(Problem::closing());
    }
    let place = app.place_to_wait()?;
    let followed = app.there(&service).await?;
    let seen = headers.get(LAST_EVENT_ID).and_then(|seen| seen.to_str().ok()).map(str::to_owned);
    let published = followed.published();
    let now = published.borrow().as_ref().map(|now| now.revision.etag());
    let leaving = Leaving::of_client();
    let events = Events { published, seen, app, leaving, _followed: followed, _place: place, begun: false };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // nginx would hold events back.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    let mut response = (headers, Body::from_stream(events.stream())).into_response();
    if let Some(now) = now {
        response.headers_mut().insert(ETAG, now);
    }
    Ok(response)
}

/// What one stream has sent, and sends next.
struct Events {
    published: watch::Receiver<Option<Arc<Published>>>,
    /// The id of the last event, of this stream or of one before it.
    seen: Option<String>,
    app: Arc<App>,
    leaving: Leaving,
    /// Followed for as long as the stream is.
    _followed: Arc<Followed>,
    _place: OwnedSemaphorePermit,
    begun: bool,
}

impl Events {
    fn stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::unfold(self, async |mut events| {
            let next = events.next().await?;
            Some((Ok(next), events))
        })
    }

    /// The next bytes, the same for all streams; `None` when the gateway ends, or there is no news and the client has closed its side.
    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.begun, true) {
            return Some(HELLO);
        }
        let seen = self.seen.as_deref();
        let is_news = |now: &Option<Arc<Published>>| {
            now.as_ref().is_some_and(|now| seen.is_none_or(|seen| now.revision.to_string() != seen))
        };
        let news = async {
            let news = self.published.wait_for(is_news).await.ok()?;
            news.clone()
        };
        tokio::select! {
            biased;
            () = self.app.closing() => None,
            news = news => {
                let news = news?;
                self.seen = Some(news.revision.to_string());
                Some(news.event())
            }
            // Most who close it have left. Their place is not to wait for a heartbeat that meets nobody.
            () = self.leaving.closes() => None,
            () = sleep(HEARTBEAT) => Some(STILL_HERE),
        }
    }
}
