//! Instances of programs without a ZooKeeper client: the gateway holds the node for as long as they renew it.

pub(super) mod change;
pub(super) mod look;
pub(super) mod register;
pub(super) mod renew;
mod wanted;
pub(super) mod withdraw;

use std::sync::Arc;

use proto::{Instance, InstanceId, NodeData, ServiceName};
use registry::Status;
use tokio::time::timeout;
use zk_session::Source;

use super::App;
use super::documents::{LeaseDocument, LeaseState};
use crate::fleet::Published;
use crate::leases::{Refused, Standing};
use crate::{Problem, wall};

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
        weight: standing.data.weight,
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
        Refused::Withdrawn => Problem::withdrawn(refused),
        Refused::Invalid(_) => Problem::not_storable(refused),
        Refused::Full { .. } => Problem::too_many(refused),
        Refused::Closed => Problem::closing(),
    }
}

fn listed<'a>(now: &'a Published, id: &InstanceId) -> Option<&'a Arc<Instance>> {
    let entries = &now.view.entries;
    entries.binary_search_by(|instance| instance.id.cmp(id)).ok().and_then(|at| entries.get(at))
}

impl App {
    /// That there is no such instance, or that nobody can tell: the list may be old.
    fn not_listed(&self, now: &Published, id: &InstanceId) -> Problem {
        match now.view.source {
            Source::Live => {
                Problem::unknown_instance(format_args!("{:?} has no instance {id:?}", now.service))
            }
            Source::Stale { .. } => self.not_known("whether there is such an instance"),
        }
    }

    /// Waits until an instance is listed with such data, no longer than for anything of ZooKeeper.
    async fn shows(&self, service: &ServiceName, id: &InstanceId, is: impl Fn(&NodeData) -> bool) -> bool {
        let Ok(followed) = self.fleet.follow(service) else { return false };
        let mut published = followed.published();
        let shown = |now: &Option<Arc<Published>>| {
            now.as_ref().and_then(|now| listed(now, id)).is_some_and(|instance| is(&instance.data))
        };
        timeout(self.fleet.patience(), published.wait_for(shown)).await.is_ok_and(|shown| shown.is_ok())
    }

    /// Waits until an instance is listed no more where its service is followed, no longer than for anything of ZooKeeper.
    async fn hides(&self, service: &ServiceName, id: &InstanceId) {
        let Some(followed) = self.fleet.followed(service) else { return };
        let mut published = followed.published();
        let hidden = |now: &Option<Arc<Published>>| now.as_ref().is_none_or(|now| listed(now, id).is_none());
        // Or not: somebody may have registered it again.
        let _ = timeout(self.fleet.patience(), published.wait_for(hidden)).await;
    }

    /// Why an instance cannot be changed here: it may be there, and somebody else's.
    async fn not_ours(&self, service: &ServiceName, id: &InstanceId, refused: &Refused) -> Problem {
        if !matches!(refused, Refused::Unknown) {
            return refusal(refused);
        }
        // What we registered has been given back, and may still be listed.
        if self.is_closing() {
            return Problem::closing();
        }
        match self.known(service).await {
            Ok((_, now)) if listed(&now, id).is_some() => Problem::conflict(
                "not-ours",
                "it was not registered by this gateway, which changes and withdraws only what it registered",
            ),
            Ok((_, now)) => self.not_listed(&now, id),
            Err(problem) => problem,
        }
    }
}
