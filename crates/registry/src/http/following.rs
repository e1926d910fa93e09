//! The task that keeps a list equal to what the gateways tell.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use hyper::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::debug;
use zk_session::Entries;

use super::document::{self, Told, Trust};
use super::events::{Event, Reader};
use super::exchange::{Answer, Refusal};
use super::gateways::Shared;
use super::path;
use super::patience::Patience;
use super::problem::Problem;
use super::published::{Publisher, Vouch};
use super::turn::Turn;
use crate::wall::unix_millis;
use crate::{Source, View};

/// The kind of problem that says so of the service; any program may say 404, and a gateway that has its one service by another name does, too.
pub(super) const UNKNOWN_SERVICE: &str = "urn:headkeeper:problem:unknown-service";

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Follows until it is dropped: one stream after the other, each from whichever gateway has one.
pub(super) async fn follow(shared: Arc<Shared>, publisher: Publisher) -> Infallible {
    let mut turn = Turn::begin(shared.gateways.len());
    let mut following =
        Following { shared: &shared, publisher: &publisher, seen: None, patience: Patience::new(&shared) };
    loop {
        let ended = following.one_stream(turn.gateway()).await;
        publisher.report(&ended.problem);
        sleep(turn.after(&ended.problem, ended.may_resume)).await;
    }
}

struct Following<'a> {
    shared: &'a Shared,
    publisher: &'a Publisher,
    seen: Option<Seen>,
    patience: Patience,
}

/// The last event that could be used.
struct Seen {
    id: Option<String>,
    source: Source,
}

/// Why a stream is over.
struct Ended {
    problem: Problem,
    /// It broke, so the gateway may be there all the same and tell what is new alone.
    may_resume: bool,
}

impl From<Problem> for Ended {
    fn from(problem: Problem) -> Self {
        Self { problem, may_resume: false }
    }
}

impl Following<'_> {
    async fn one_stream(&mut self, which: usize) -> Ended {
        match self.read_one(which).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn read_one(&mut self, which: usize) -> Result<Infallible, Ended> {
        let mut answer = self.open(which).await?;
        let gateway = answer.gateway.clone();
        let publisher = self.publisher;
        let mut vouch = Vouch::now(publisher);
        let begun = vouch.heard;
        // The revision that the gateway has now. Is it the one that we have, nothing comes before it changes.
        let now = answer.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
        let now = now.map(|tag| tag.trim_matches('"').to_owned());
        let mut is_current = match &self.seen {
            Some(Seen { id: Some(id), source }) if now.as_ref() == Some(id) => {
                publisher.trust(*source);
                publisher.served(&gateway);
                true
            }
            _ => false,
        };
        self.patience.begins(self.seen.as_ref().filter(|_| is_current).map(|seen| seen.source));
        debug!(service = %publisher.service, %gateway, resumed = is_current, "following");
        let mut reader = Reader::new(self.shared.event_bytes);
        loop {
            let has_begun = is_current || reader.is_amid();
            let until =
                if has_begun { vouch.heard + self.shared.silence } else { begun + self.shared.answer };
            let leave_at = self.patience.ends();
            let until = leave_at.map_or(until, |leave| leave.min(until));
            let bytes = timeout_at(until, answer.next()).await.map_err(|_| match has_begun {
                _ if leave_at.is_some_and(|leave| leave <= Instant::now()) => {
                    self.patience.ended();
                    Problem::waiting(&gateway, "its list is stale, and another gateway may know more")
                }
                true => {
                    Problem::interrupted(&gateway, &format!("nothing came for {:?}", self.shared.silence))
                }
                // Every stream begins with a list, unless the gateway has none.
                false => Problem::waiting(&gateway, "it has no list yet"),
            })?;
            let Some(bytes) = bytes.map_err(|problem| Ended { problem, may_resume: is_current })? else {
                return Err(Problem::interrupted(&gateway, "the gateway ended the stream").into());
            };
            vouch.heard = Instant::now();
            let mut rest = &bytes[..];
            loop {
                let event = reader.read(&mut rest).map_err(|_too_large| {
                    let most = self.shared.event_bytes;
                    Problem::unusable(
                        &gateway,
                        &format!("an event of more than {most} bytes, which are accepted"),
                    )
                })?;
                let Some(event) = event else { break };
                self.take(event).map_err(|what| Problem::unusable(&gateway, &what))?;
                publisher.served(&gateway);
                is_current = true;
            }
        }
    }

    async fn open(&mut self, which: usize) -> Result<Answer, Problem> {
        let path = format!("{}/watch", path::of_service(&self.publisher.service));
        let mut request = self.shared.request(which, Method::GET, &path).accepting("text/event-stream");
        let id = self.seen.as_ref().and_then(|seen| HeaderValue::from_str(seen.id.as_deref()?).ok());
        if let Some(id) = id {
            request = request.header(LAST_EVENT_ID, id);
        }
        let answer = request.send().await?;
        if !answer.status.is_success() {
            let Refusal { kind, problem } = answer.refusal().await;
            if kind.as_deref() == Some(UNKNOWN_SERVICE) {
                self.is_nowhere();
            }
            return Err(problem);
        }
        let kind = answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("text/event-stream") {
            return Err(Problem::unusable(
                &answer.gateway,
                &format!("content of the type {kind:?}, accepted is text/event-stream"),
            ));
        }
        Ok(answer)
    }

    /// There is no such service, which a gateway says only while it knows: then nobody is in it, as on ZooKeeper. Nothing tells when one
    /// comes, so the list is doubted from here on, until it is asked for again.
    fn is_nowhere(&mut self) {
        let nobody = Told { entries: Entries::default(), bad: Entries::default(), trust: Trust::Live };
        // Said once more it is no news, and has been so since it was said first.
        let since = match self.publisher.view.borrow().as_ref() {
            Some(View { entries, bad, source: Source::Stale { since } })
                if entries.is_empty() && bad.is_empty() =>
            {
                *since
            }
            _ => Instant::now(),
        };
        self.publisher.send(nobody, Source::Stale { since });
        self.seen = None;
    }

    /// Makes an event the list. One that cannot be used changes nothing.
    fn take(&mut self, Event { id, data }: Event) -> Result<(), String> {
        let publisher = self.publisher;
        let before = publisher.entries.borrow().clone();
        let told = document::read(&data, &publisher.service, before.as_ref())?;
        let source = match told.trust {
            Trust::Live => Source::Live,
            Trust::Stale(since) => Source::Stale { since: self.stale_since(since) },
        };
        publisher.send(told, source);
        self.patience.told(source);
        self.seen = Some(Seen { id, source });
        Ok(())
    }

    /// Since when the list is stale, by our clock. What was doubted before is doubted since then.
    fn stale_since(&self, told: Option<u64>) -> Instant {
        let now = Instant::now();
        let told = told.map(|told| Duration::from_millis(unix_millis().saturating_sub(told)));
        let told = told.and_then(|age| now.checked_sub(age)).unwrap_or(now);
        match self.publisher.view.borrow().as_ref().map(|view| view.source) {
            Some(Source::Stale { since }) => since.min(told),
            _ => told,
        }
    }
}
