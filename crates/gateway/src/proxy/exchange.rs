//! One request: sent to an instance, perhaps to another one, and answered.

use std::collections::HashSet;
use std::error::Error;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use hyper::Response;
use proto::InstanceId;
use tokio::sync::watch;
use tokio::task::{unconstrained, yield_now};
use tokio::time::Instant;
use tracing::debug;

use super::answer::Answer;
use super::body::{Arriving, Body};
use super::connecting::NoConnection;
use super::connections::Connection;
use super::lookups::Lookups;
use super::outgoing::Outgoing;
use super::problem::Problem;
use super::retry::{Allowed, Failure, Next, Where, next};
use super::routes::{Key, Route, Routes};
use super::sending::{Fault, Received};
use super::service::Chosen;

/// A request with the rule that it goes by.
pub(super) struct Exchange<'r> {
    pub(super) routes: &'r Routes,
    pub(super) route: &'r Route,
    pub(super) lookups: &'r Arc<Lookups>,
    pub(super) begun: Instant,
    pub(super) outgoing: Outgoing,
}

/// A try that failed.
struct Failed {
    chosen: Chosen,
    failure: Failure,
    problem: Problem,
}

/// Which try it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Try {
    /// On a connection that was not used before.
    anew: bool,
    /// No other instance took a part of the time.
    is_first: bool,
}

impl Exchange<'_> {
    /// Sends the request until somebody answers, or nobody will.
    pub(super) async fn run(
        mut self,
        key: &Key<'_>,
        tunnels_over: &watch::Sender<bool>,
    ) -> Result<Response<Body>, Problem> {
        let mut tried = HashSet::new();
        let mut chosen = self.choose(key, &tried, None)?;
        self.route.service.budget.request(self.begun);
        let mut anew = false;
        loop {
            let a_try = Try { anew, is_first: tried.is_empty() };
            let Failed { chosen: failed, failure, problem } = match self.send(chosen, a_try).await {
                Ok(answer) if answer.is_upgrade() => {
                    return answer.tunnel(self.route, self.outgoing.upgrade, tunnels_over);
                }
                Ok(answer) => return answer.pass(self.routes, self.route, self.outgoing.upload),
                Err(failed) => failed,
            };
            let next = next(failure, self.allowed(tried.len()));
            debug!(service = %self.route.service.name, instance = %failed.id(), ?failure, ?next, "try failed");
            let id = failed.id().clone();
            anew = next.try_again == Some(Where::Here);
            chosen = match next.try_again {
                // The same one, as the pick that it was.
                Some(Where::Here) => {
                    if !self.may_cost(&next) {
                        return Err(problem);
                    }
                    failed
                }
                other => {
                    if next.blames_instance {
                        failed.failed();
                    }
                    if other.is_none() {
                        return Err(problem);
                    }
                    tried.insert(id);
                    let other = self.choose(key, &tried, Some(problem.clone()))?;
                    // Asked last: a try that nobody is left for costs nothing.
                    if !self.may_cost(&next) {
                        return Err(problem);
                    }
                    other
                }
            };
            self.route.service.figures.retry();
        }
    }

    /// Whether another try may be made, as far as it costs what is for those of all requests.
    fn may_cost(&self, next: &Next) -> bool {
        let service = &self.route.service;
        let may = !next.costs || service.budget.may_retry(Instant::now());
        if !may {
            service.figures.withhold_retry();
        }
        may
    }

    fn allowed(&self, tried: usize) -> Allowed {
        Allowed {
            is_idempotent: self.outgoing.is_idempotent(),
            is_whole: self.outgoing.is_whole(),
            another_try: tried + 1 < self.route.rule.limits.tries as usize,
        }
    }

    /// Somebody who was not tried; else why the last one who was did not answer.
    fn choose(
        &self,
        key: &Key<'_>,
        tried: &HashSet<InstanceId>,
        last: Option<Problem>,
    ) -> Result<Chosen, Problem> {
        match (self.route.choose(key, tried), last) {
            (Ok(Some(chosen)), _) => Ok(chosen),
            (_, Some(last)) => Err(last),
            (Err(problem), None) => Err(problem),
            (Ok(None), None) => {
                Err(Problem::nobody(&self.route.service.name, "it has no instance that takes requests"))
            }
        }
    }

    /// Sends the request once: on a connection that is kept, or on another one.
    async fn send(&mut self, mut chosen: Chosen, a_try: Try) -> Result<Answer, Failed> {
        let mut connection = match self.connection(&chosen, a_try).await {
            Ok(connection) => connection,
            Err((failure, problem)) => return Err(Failed { chosen, failure, problem }),
        };
        let request = self.outgoing.request(&connection.address);
        // What it waits for comes by polling the connection: no wake-up of it may get lost to a budget.
        let mut answer = pin!(unconstrained(connection.send(request)));
        let mut until = self.until();
        let answered = loop {
            let in_time = poll_fn(|cx| {
                let polled = answer.as_mut().poll(&mut connection.poll(cx));
                match polled.map(Some) {
                    Poll::Pending => connection.poll_late(until, cx).map(|()| None),
                    answered => answered,
                }
            });
            if let Some(answered) = in_time.await {
                break answered;
            }
            let later = self.until();
            if later <= Instant::now() {
                let (failure, problem) = self.late(a_try);
                return Err(Failed { chosen, failure, problem });
            }
            // An upload may go on for as long as it moves. What it would tell others of the instance is not waited for that long.
            chosen.tells_nothing();
            until = later;
        };
        let (error, sent, used) = match answered {
            Ok(response) => {
                let (head, incoming) = response.into_parts();
                match Arriving::look(incoming, &mut connection) {
                    Ok(body) => {
                        return Ok(self.answered(Response::from_parts(head, body), connection, chosen));
                    }
                    // It broke off with its head, of which nobody has heard yet. That is no end of a connection that was idle.
                    Err(error) => (error, true, false),
                }
            }
            Err(mut error) => {
                let message = error.take_message();
                let sent = message.is_none();
                if let Some(message) = message {
                    self.outgoing.returned(message);
                }
                (error.into_error(), sent, connection.is_used)
            }
        };
        debug!(instance = %chosen.id(), error = &error as &dyn Error, "no answer");
        let progress = self.outgoing.upload.as_ref().map(Received::progress);
        if let Some(fault) = progress.and_then(|progress| progress.fault) {
            let problem = match fault {
                Fault::Broken => Problem::broken_body(),
                Fault::Large => Problem::too_large(),
                Fault::Slow => Problem::slow_client(),
            };
            return Err(Failed { chosen, failure: Failure::Client, problem });
        }
        if error.is_parse_too_large() {
            self.route.service.connections.need_room();
            let failure = Failure::LargeHead { had_room: connection.is_roomy };
            let problem = Problem::large_head(&self.route.service.name);
            return Err(Failed { chosen, failure, problem });
        }
        // What is no HTTP was said by an instance that is there.
        let used = used && !error.is_parse();
        let waited = progress.is_some_and(|progress| progress.is_client_late()) && !error.is_parse();
        let problem = Problem::broken(&self.route.service.name);
        Err(Failed { chosen, failure: Failure::Broken { sent, used, waited }, problem })
    }

    /// There is an answer, and no other try.
    fn answered(&self, response: Response<Arriving>, mut connection: Connection, chosen: Chosen) -> Answer {
        if self.outgoing.may_be_ignored() {
            connection.is_last_use();
        }
        if let Some(upload) = &self.outgoing.upload {
            upload.is_answered();
            if !upload.progress().is_done {
                // It goes on whether or not the client reads the answer.
                connection.leave_to_task();
            }
        }
        Answer { response, connection, chosen }
    }

    async fn connection(&self, chosen: &Chosen, a_try: Try) -> Result<Connection, (Failure, Problem)> {
        let id = chosen.id();
        let unreachable = || (Failure::Unreachable, Problem::unreachable(&self.route.service.name));
        let address = chosen.address().ok_or_else(unreachable)?;
        let connections = &self.route.service.connections;
        if !a_try.anew
            && let Some(kept) = connections.take(address)
        {
            return Ok(kept);
        }
        let limit = self.route.rule.limits.connect;
        let left = self.until().saturating_duration_since(Instant::now());
        let until = Instant::now() + limit.min(left);
        let error = loop {
            match Connection::open(address, self.lookups, until, connections.are_roomy()).await {
                Ok(connection) => return Ok(connection),
                // What nobody uses is kept for nobody who finds no room.
                // The task of a connection may have to run before its file is closed.
                Err(NoConnection::NoRoom(_)) if self.routes.make_room() => yield_now().await,
                Err(error) => break error,
            }
        };
        debug!(instance = %id, error = &error as &dyn Error, "cannot connect");
        match error {
            NoConnection::NoRoom(error) => {
                connections.tell(&self.route.service.name, &error);
                Err((Failure::NoRoom, Problem::no_room()))
            }
            NoConnection::NoPort(error) => {
                connections.tell(&self.route.service.name, &error);
                Err((Failure::NoPort, Problem::no_room()))
            }
            // It had less time than it may take.
            NoConnection::Late | NoConnection::LookedUpLate if left < limit && !a_try.is_first => {
                Err(self.late(a_try))
            }
            NoConnection::LookedUpLate => {
                Err((Failure::LookedUpLate, Problem::unreachable(&self.route.service.name)))
            }
            NoConnection::Late | NoConnection::Failed(_) => Err(unreachable()),
        }
    }

    /// Until when the answer may take: the time is for all tries, and counts from when the last part of the body was taken.
    fn until(&self) -> Instant {
        let upload = self.outgoing.upload.as_ref();
        let last = upload.map_or(self.begun, |upload| upload.progress().last.max(self.begun));
        last + self.route.rule.limits.answer
    }

    /// Whose fault it is that the time is over.
    fn late(&self, a_try: Try) -> (Failure, Problem) {
        let upload = self.outgoing.upload.as_ref();
        if upload.is_some_and(|upload| upload.progress().is_client_late()) {
            return (Failure::Client, Problem::slow_client());
        }
        (Failure::Late { had_all_time: a_try.is_first }, Problem::late(&self.route.service.name))
    }
}
