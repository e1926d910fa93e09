//! The task that keeps an instance registered with a gateway.

mod elsewhere;
mod found;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proto::{InstanceId, NodeData, ServiceName};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::{debug, info, warn};

use super::doubt::Doubt;
use super::exchange::{Answer, Refusal};
use super::gateways::Shared;
use super::path;
use super::problem::Problem;
use super::registration::Status;
use super::turn::Turn;

/// How soon a gateway is asked again that waits for ZooKeeper.
const SOON: Duration = Duration::from_secs(1);

/// How long the answer to a registering is waited for when nobody wants it any more: a gateway waits for ZooKeeper for 2 s.
const PARTING: Duration = Duration::from_secs(3);

/// What a gateway calls it that somebody took an instance away while it was being registered. All other conflicts are with somebody who
/// has it.
const WITHDRAWN: &str = "urn:headkeeper:problem:withdrawn";

/// How a gateway says that it registers as many as it may.
const TOO_MANY: &str = "urn:headkeeper:problem:too-many";

/// What a gateway says that is being stopped.
const CLOSING: &str = "urn:headkeeper:problem:closing";

/// Registers and renews until nobody wants that any more, and withdraws then.
pub(super) async fn keep(
    shared: Arc<Shared>,
    service: ServiceName,
    id: InstanceId,
    mut wanted: watch::Receiver<NodeData>,
    status: watch::Sender<Status>,
) {
    let path = path::of_instance(&service, &id);
    let turn = Turn::begin(shared.gateways.len());
    let doubt = Doubt::none(shared.ttl);
    let mut keeping =
        Keeping { shared: &shared, path, turn, lease: None, was_granted: false, doubt, waits_since: None };
    info!(%service, %id, "registering over HTTP");
    let end = keeping.while_wanted(&mut wanted, &status).await;
    if end == End::Unwanted {
        keeping.withdraw().await;
        info!(%service, %id, "withdrawn");
    } else {
        warn!(%service, %id, "a newer process with the same id has taken the place of this instance");
    }
    status.send_replace(if end == End::Unwanted { Status::Withdrawn } else { Status::Replaced });
}

struct Keeping<'a> {
    shared: &'a Shared,
    path: String,
    turn: Turn,
    lease: Option<Lease>,
    /// Whether any gateway has given us the id. Until then we are the newest who wants it; afterwards somebody may have come.
    was_granted: bool,
    doubt: Doubt,
    /// Since when its gateway has not registered it; or when it was last asked whether another one could.
    waits_since: Option<Instant>,
}

/// What a gateway keeps for us.
struct Lease {
    gateway: usize,
    token: String,
    data: NodeData,
    is_registered: bool,
    /// When its last renewal was asked for.
    renewed: Instant,
    /// Whether it is doubted that it stays so.
    is_doubted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Unwanted,
    Replaced,
}

/// Why a step came to nothing.
enum Trouble {
    /// The gateway knows nothing of it, or not any more.
    Unknown,
    /// Somebody else has it.
    Taken,
    /// Somebody else has it who came after us, and is not us.
    Newer,
    Other(Problem),
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Self::Other(problem)
    }
}

/// What a gateway tells of a lease.
#[derive(Deserialize)]
struct Document {
    lease: String,
    state: State,
    problem: Option<String>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum State {
    Registered,
    #[serde(other)]
    Other,
}

impl Lease {
    /// Whether it was promised by another gateway than this one, and not done yet as far as we know.
    fn is_open(&self, gateway: usize) -> bool {
        !self.is_registered && !self.is_doubted && self.gateway != gateway
    }
}

impl Keeping<'_> {
    async fn while_wanted(
        &mut self,
        wanted: &mut watch::Receiver<NodeData>,
        status: &watch::Sender<Status>,
    ) -> End {
        let mut last_problem = None;
        loop {
            if wanted.has_changed().is_err() {
                return End::Unwanted;
            }
            let data = wanted.borrow_and_update().clone();
            let asked = Instant::now();
            let Some(done) = self.step_while(wanted, data).await else { return End::Unwanted };
            match done {
                Ok(now) => {
                    let is_registered = matches!(now, Status::Registered { .. });
                    let pause =
                        if is_registered { self.shared.ttl / 3 } else { SOON.min(self.shared.ttl / 3) };
                    last_problem = None;
                    self.turn.served();
                    if is_registered {
                        self.doubt.settle(asked);
                        self.waits_since = None;
                    } else {
                        self.waits_since.get_or_insert(asked);
                    }
                    tell(status, now);
                    tokio::select! {
                        () = sleep_until(asked + pause) => {}
                        // Said at once, or nobody wants it.
                        _ = wanted.changed() => {}
                    }
                }
                Err(Trouble::Unknown) => self.lease = None,
                Err(Trouble::Taken) if self.doubt.explains_conflict(asked) => self.lease = None,
                Err(Trouble::Taken | Trouble::Newer) => return End::Replaced,
                Err(Trouble::Other(problem)) => {
                    let pause = self.turn.after(&problem, false);
                    self.waits_since = None;
                    self.log(&problem, last_problem.replace(problem.kind()) == Some(problem.kind()));
                    tell(status, Status::Registering { problem: Some(problem) });
                    tokio::select! {
                        () = sleep(pause) => {}
                        () = unwanted(wanted) => {}
                    }
                }
            }
        }
    }

    /// A step, unless nobody wants it any more before it comes to anything.
    async fn step_while(
        &mut self,
        wanted: &watch::Receiver<NodeData>,
        data: NodeData,
    ) -> Option<Result<Status, Trouble>> {
        // Only the answer to a registering has what it is withdrawn by. Without it, it is there for its time to live, so to wait for most
        // of that is not worth it.
        let parting = match self.kept(&data) {
            Some(_) => Duration::ZERO,
            None => PARTING.min(self.shared.ttl / 2),
        };
        // What is said meanwhile is still to be heard after the step.
        let mut wishes = wanted.clone();
        let over = async {
            unwanted(&mut wishes).await;
            sleep(parting).await;
        };
        tokio::select! {
            biased;
            done = self.step(data) => Some(done),
            () = over => None,
        }
    }

    /// The lease that is to be renewed and nothing else, if this is what it is for.
    fn kept(&self, data: &NodeData) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| lease.gateway == self.turn.gateway() && lease.data == *data)
    }

    /// Renews what is kept as it should be; registers it otherwise, which takes the id from nobody who came after us. What a gateway could
    /// not register for long it is to keep no more, if another one can.
    async fn step(&mut self, data: NodeData) -> Result<Status, Trouble> {
        if self.waits_too_long() && self.look_elsewhere().await? {
            return Err(Trouble::Unknown);
        }
        let which = self.turn.gateway();
        let asked = Instant::now();
        let kept = self.kept(&data);
        let is_renewal = kept.is_some();
        let answer = match kept {
            Some(lease) => self.ask(which, Method::POST, "/renew", Some(&lease.token), None).await?,
            None => {
                let lease = self.lease.as_ref().filter(|lease| lease.gateway == which);
                let lease = lease.map(|lease| lease.token.clone());
                if self.was_granted && lease.is_none() {
                    self.look_who_is_there(which, &data).await?;
                }
                // What another gateway promised and could not do yet may be done after this. That is one, however often we turn elsewhere.
                if let Some(lease) = self.lease.as_mut().filter(|lease| lease.is_open(which)) {
                    lease.is_doubted = true;
                    self.doubt.raise(lease.gateway, asked);
                }
                let mut body = serde_json::to_value(&data).unwrap_or_default();
                if let Some(body) = body.as_object_mut() {
                    body.insert("ttl".to_owned(), self.shared.ttl.as_secs().into());
                }
                let sent = self.ask(which, Method::PUT, "", lease.as_deref(), Some(body.to_string())).await;
                // What was sent and not answered may be done yet.
                if matches!(sent, Err(Problem::Interrupted { .. })) {
                    self.doubt.raise(which, Instant::now());
                }
                sent?
            }
        };
        match answer.status {
            StatusCode::NOT_FOUND if is_renewal => return Err(Trouble::Unknown),
            StatusCode::CONFLICT => {
                let Refusal { kind, problem } = answer.refusal().await;
                if kind.as_deref() != Some(WITHDRAWN) {
                    return Err(Trouble::Taken);
                }
                // Nobody has it, no more than one that is withdrawn between two renewals.
                self.lease = None;
                return Err(problem.into());
            }
            status if status.is_success() => {}
            status => {
                let Refusal { kind, problem } = answer.refusal().await;
                // Of a gateway that ends, or of a proxy before it: neither says that nothing was done. A gateway that is full does.
                if status.is_server_error() && !is_renewal && kind.as_deref() != Some(TOO_MANY) {
                    self.doubt.raise(which, Instant::now());
                }
                return Err(problem.into());
            }
        }
        let gateway = answer.gateway.clone();
        let told = answer.bytes().await;
        if told.is_err() && !is_renewal {
            self.doubt.raise(which, Instant::now());
        }
        let told = told?;
        let Document { lease, state, problem } =
            serde_json::from_slice(&told).map_err(|error| Problem::unusable(&gateway, &error.to_string()))?;
        let is_registered = state == State::Registered;
        self.was_granted = true;
        self.lease = Some(Lease {
            gateway: which,
            token: lease,
            data,
            is_registered,
            renewed: asked,
            is_doubted: false,
        });
        Ok(match state {
            State::Registered => Status::Registered { gateway },
            State::Other => {
                let what = problem.unwrap_or_else(|| "it is not registered yet".to_owned());
                Status::Registering { problem: Some(Problem::waiting(&gateway, &what)) }
            }
        })
    }

    /// Until it is gone, or nobody keeps it for us any longer.
    async fn withdraw(mut self) {
        let Some(lease) = self.lease.take() else { return };
        let end = lease.renewed + self.shared.ttl;
        let over = async {
            loop {
                let asked = self.ask(lease.gateway, Method::DELETE, "", Some(&lease.token), None).await;
                let problem = match asked {
                    // Unknown, or somebody else's: it is not ours any more.
                    Ok(answer)
                        if answer.status.is_success()
                            || matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::CONFLICT) =>
                    {
                        return;
                    }
                    Ok(answer) => {
                        let Refusal { kind, problem } = answer.refusal().await;
                        // A gateway that ends gives back what it holds, or loses it with its session.
                        if kind.as_deref() == Some(CLOSING) {
                            return;
                        }
                        problem
                    }
                    Err(problem) => problem,
                };
                debug!(error = &problem as &dyn Error, path = self.path, "cannot withdraw the instance");
                sleep(self.turn.after(&problem, true)).await;
            }
        };
        if timeout_at(end, over).await.is_err() {
            warn!("an instance could not be withdrawn; its time to live is over");
        }
    }

    /// Once for each kind of trouble.
    fn log(&self, problem: &Problem, again: bool) {
        let error = problem as &dyn Error;
        if again {
            debug!(error, path = self.path, "cannot keep the instance registered");
        } else {
            warn!(error, path = self.path, "cannot keep the instance registered");
        }
    }

    async fn ask(
        &self,
        which: usize,
        method: Method,
        more: &str,
        lease: Option<&str>,
        body: Option<String>,
    ) -> Result<Answer, Problem> {
        let mut path = format!("{}{more}", self.path);
        if let Some(lease) = lease {
            path.extend(["?lease=", &utf8_percent_encode(lease, NON_ALPHANUMERIC).to_string()]);
        }
        let request = self.shared.request(which, method, &path).accepting("application/json");
        match body {
            Some(body) => request.json(body).send().await,
            None => request.send().await,
        }
    }
}

fn tell(status: &watch::Sender<Status>, now: Status) {
    let is_same = |a: &Status, b: &Status| match (a, b) {
        (Status::Registered { gateway: a }, Status::Registered { gateway: b }) => a == b,
        _ => false,
    };
    status.send_if_modified(|told| {
        let differs = !is_same(told, &now);
        if differs {
            *told = now;
        }
        differs
    });
}

async fn unwanted(wanted: &mut watch::Receiver<NodeData>) {
    while wanted.changed().await.is_ok() {}
}
