//! One request: sent to an instance, perhaps to another one, and answered.

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, EXPECT, HOST, HeaderMap, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use tokio::sync::watch;
use tokio::task::unconstrained;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::admission::asks_for_websocket;
use super::body::{Body, Ending};
use super::connections::Connection;
use super::headers::{Peer, add_forwarded, add_via, has_token, remove_hop_by_hop, takes_trailers};
use super::problem::Problem;
use super::retry::{Allowed, Failure, Where, next};
use super::routes::{Key, Route, Routes};
use super::sending::{Received, Sending};
use super::service::Chosen;
use super::tunnel::Tunnel;

/// A request with what is needed to send it, as often as that takes.
pub(super) struct Exchange<'r> {
    routes: &'r Routes,
    route: &'r Route,
    begun: Instant,
    method: Method,
    target: Uri,
    /// `None` while they are on their way and no other try would be allowed.
    headers: Option<HeaderMap>,
    upload: Option<Received>,
    expects: bool,
    /// The client's side of a WebSocket.
    upgrade: Option<OnUpgrade>,
}

/// A try that failed.
struct Failed {
    failure: Failure,
    problem: Problem,
}

impl<'r> Exchange<'r> {
    /// Makes of a request what an instance gets.
    pub(super) fn new(
        (routes, route): (&'r Routes, &'r Route),
        begun: Instant,
        mut parts: Parts,
        body: Incoming,
        peer: &Peer,
        target: Uri,
    ) -> Self {
        let upgrade =
            if asks_for_websocket(&parts, &body) { parts.extensions.remove::<OnUpgrade>() } else { None };
        let is_idempotent = parts.method.is_idempotent();
        let mut headers = parts.headers;
        let expects =
            headers.remove(EXPECT).is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        let takes_trailers = takes_trailers(&headers);
        remove_hop_by_hop(&mut headers);
        if takes_trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
            headers.append(CONNECTION, HeaderValue::from_static("te"));
        }
        if upgrade.is_some() {
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.append(CONNECTION, HeaderValue::from_static("upgrade"));
        }
        let has_body = !body.is_end_stream();
        let expects = expects && has_body;
        if expects {
            headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
        }
        if has_body && body.size_hint().exact().is_none() {
            // Of GET and HEAD, the client would leave out a body without it.
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        add_forwarded(&mut headers, peer, &routes.rules.trusted);
        add_via(&mut headers, parts.version);
        Self {
            routes,
            route,
            begun,
            method: parts.method,
            target,
            headers: Some(headers),
            upload: has_body.then(|| Received::new(body, is_idempotent, expects)),
            expects,
            upgrade,
        }
    }

    /// Sends the request until somebody answers, or nobody will.
    pub(super) async fn run(
        mut self,
        key: &Key<'_>,
        tunnels_over: &watch::Sender<bool>,
    ) -> Result<Response<Body>, Problem> {
        let mut tried = HashSet::new();
        let mut last = None;
        let mut chosen = self.choose(key, &tried, &mut last)?;
        let mut anew = false;
        loop {
            let Failed { failure, problem } = match self.send(&chosen, anew).await {
                Ok((response, connection)) => return self.answer(response, connection, chosen, tunnels_over),
                Err(failed) => failed,
            };
            let allowed = Allowed {
                is_idempotent: self.method.is_idempotent(),
                is_whole: self.upload.as_ref().is_none_or(|upload| upload.progress().is_whole),
                another_try: tried.len() + 1 < self.route.rule.limits.tries as usize,
            };
            let next = next(failure, allowed);
            debug!(service = %self.route.service.name, instance = %chosen.id(), ?failure, ?next, "try failed");
            let id = chosen.id().clone();
            if next.blames_instance {
                chosen.failed();
                chosen = match next.try_again {
                    None => return Err(problem),
                    Some(_) => {
                        tried.insert(id);
                        last = Some(problem);
                        self.choose(key, &tried, &mut last)?
                    }
                };
                anew = false;
            } else if next.try_again == Some(Where::Here) {
                anew = true;
            } else {
                return Err(problem);
            }
            self.route.service.figures.retry();
        }
    }

    /// Somebody who was not tried; else why the last one who was did not answer.
    fn choose(
        &self,
        key: &Key<'_>,
        tried: &HashSet<proto::InstanceId>,
        last: &mut Option<Problem>,
    ) -> Result<Chosen, Problem> {
        match (self.route.choose(key, tried), last.take()) {
            (Ok(Some(chosen)), _) => Ok(chosen),
            (_, Some(last)) => Err(last),
            (Err(problem), None) => Err(problem),
            (Ok(None), None) => {
                Err(Problem::nobody(&self.route.service.name, "it has no instance that takes requests"))
            }
        }
    }

    /// Sends the request once: on a connection that is kept, or, `anew`, on another one.
    async fn send(
        &mut self,
        chosen: &Chosen,
        anew: bool,
    ) -> Result<(Response<Incoming>, Connection), Failed> {
        let limits = &self.route.rule.limits;
        let id = chosen.id();
        let unreachable = || Failed { failure: Failure::Unreachable, problem: Problem::unreachable(id) };
        let address = chosen.address().ok_or_else(unreachable)?;
        let kept = if anew { None } else { self.route.service.connections.take(address) };
        let mut connection = match kept {
            Some(connection) => connection,
            None => {
                let left = (self.begun + limits.answer).saturating_duration_since(Instant::now());
                Connection::open(address, limits.connect.min(left)).await.map_err(|error| {
                    debug!(instance = %id, error = &error as &dyn std::error::Error, "cannot connect");
                    unreachable()
                })?
            }
        };
        let request = self.request(address);
        // What it waits for comes by polling the connection: no wake-up of it may get lost to a budget.
        let mut answer = pin!(unconstrained(connection.send(request)));
        let mut until = self.begun + limits.answer;
        let answered = loop {
            let answer = poll_fn(|cx| {
                let mut cx = connection.poll(cx);
                answer.as_mut().poll(&mut cx)
            });
            match timeout_at(until, answer).await {
                Ok(answered) => break answered,
                Err(_) => match self.patience(limits.answer) {
                    Patience::Until(later) => until = later,
                    Patience::Over => {
                        return Err(Failed { failure: Failure::Late, problem: Problem::late(id) });
                    }
                    Patience::OverWithClient => {
                        return Err(Failed { failure: Failure::Client, problem: Problem::slow_client() });
                    }
                },
            }
        };
        match answered {
            Ok(response) => {
                if let Some(upload) = &self.upload {
                    upload.is_answered();
                    if !upload.progress().is_done {
                        // It goes on whether or not the client reads the answer.
                        connection.leave_to_task();
                    }
                }
                Ok((response, connection))
            }
            Err(mut error) => {
                let message = error.take_message();
                let sent = message.is_none();
                if let Some(message) = message {
                    self.headers.get_or_insert(message.into_parts().0.headers);
                }
                let error = error.into_error();
                debug!(instance = %id, error = &error as &dyn std::error::Error, "no answer");
                if self.upload.as_ref().is_some_and(|upload| upload.progress().is_broken) {
                    return Err(Failed { failure: Failure::Client, problem: Problem::broken_body() });
                }
                // What is no HTTP was said by an instance that is there.
                let used = connection.is_used && !error.is_parse();
                Err(Failed { failure: Failure::Broken { sent, used }, problem: Problem::broken(id) })
            }
        }
    }

    /// The request for one try.
    fn request(&mut self, address: &proto::Address) -> Request<Sending> {
        let is_idempotent = self.method.is_idempotent();
        let headers = if is_idempotent { self.headers.clone() } else { self.headers.take() };
        let body = self.upload.as_ref().map_or(Sending::Nothing, |upload| Sending::Upload(upload.send()));
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.clone();
        // There are headers as long as another try is allowed.
        *request.headers_mut() = headers.unwrap_or_default();
        if !request.headers().contains_key(HOST)
            && let Ok(host) = HeaderValue::try_from(address.to_string())
        {
            // Clients of HTTP/1.0 need not say for whom it is.
            request.headers_mut().insert(HOST, host);
        }
        if self.expects
            && let Some(upload) = self.upload.clone()
        {
            hyper::ext::on_informational(&mut request, move |informed| {
                if informed.status() == StatusCode::CONTINUE {
                    upload.is_wanted();
                }
            });
        }
        request
    }

    /// Whether to wait longer for an answer: the time counts from when the last part of the body was taken.
    fn patience(&self, limit: Duration) -> Patience {
        let Some(progress) = self.upload.as_ref().map(Received::progress) else { return Patience::Over };
        let until = progress.last + limit;
        if until > Instant::now() {
            Patience::Until(until)
        } else if progress.waits_for_client && !progress.is_done {
            Patience::OverWithClient
        } else {
            Patience::Over
        }
    }

    /// Makes of an instance's answer what the client gets.
    fn answer(
        self,
        response: Response<Incoming>,
        mut connection: Connection,
        mut chosen: Chosen,
        tunnels_over: &watch::Sender<bool>,
    ) -> Result<Response<Body>, Problem> {
        let (mut parts, incoming) = response.into_parts();
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            let agreed = has_token(&parts.headers, &UPGRADE, "websocket");
            let instance = parts.extensions.remove::<OnUpgrade>();
            let (Some(client), Some(instance), true) = (self.upgrade, instance, agreed) else {
                // Nobody asked for that.
                let problem = Problem::broken(chosen.id());
                chosen.failed();
                return Err(problem);
            };
            chosen.answered();
            connection.leave_to_task();
            let tunnel = Tunnel { client, instance, connection, chosen };
            tokio::spawn(tunnel.run(tunnels_over.subscribe()));
            remove_hop_by_hop(&mut parts.headers);
            parts.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            add_via(&mut parts.headers, parts.version);
            return Ok(Response::from_parts(parts, Body::whole(bytes::Bytes::new())));
        }
        remove_hop_by_hop(&mut parts.headers);
        add_via(&mut parts.headers, parts.version);
        parts.version = Version::HTTP_11;
        let statuses = &self.routes.rules.ejection.statuses;
        let chosen = if statuses.contains(&parts.status.as_u16()) {
            chosen.failed();
            None
        } else {
            chosen.answered();
            Some(chosen)
        };
        let ending = Ending { service: self.route.service.clone(), connection, upload: self.upload, chosen };
        let body = Body::passing(incoming, self.route.rule.limits.idle, ending);
        Ok(Response::from_parts(parts, body))
    }
}

/// Whether to wait longer.
enum Patience {
    Until(Instant),
    Over,
    /// The client does not send what it announced.
    OverWithClient,
}
