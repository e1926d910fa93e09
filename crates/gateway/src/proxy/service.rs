//! A service that rules name: who of it gets a request, and what is kept for all requests to it.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use loadbalance::{Balancer, Instance, Instances, PickError, Picked, Request};
use proto::{Address, InstanceId, ServiceName};
use tokio::sync::watch;

use super::Upstreams;
use super::budget::Budget;
use super::connections::Connections;
use super::ejection::{Attempt, Ejection};
use super::figures::Figures;
use super::rules::Rules;

/// What all rules for a service share, and what outlives them when there are others.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: ServiceName,
    pub(super) lists: watch::Receiver<Option<Instances>>,
    /// Followed once a rule asks for it.
    master: OnceLock<watch::Receiver<Option<Arc<Instance>>>>,
    pub(super) ejection: Arc<Ejection>,
    pub(super) budget: Budget,
    pub(super) connections: Connections,
    pub(super) figures: Arc<Figures>,
}

/// An instance that a request goes to.
///
/// Dropped without another word, it tells ejection nothing of the instance. To the balancer it is a request that ended well, for that knows only of
/// those and of failures: algorithms that pass over who failed take the instance for well again.
#[derive(Debug)]
pub(super) enum Chosen {
    /// There is one alone, and nobody to turn to when it fails.
    Master(Arc<Instance>),
    Picked(Picked, Option<Attempt>),
}

impl Service {
    pub(super) fn new(name: &ServiceName, upstreams: &dyn Upstreams, rules: &Rules) -> Self {
        let lists = upstreams.instances(name);
        let ejection = Arc::new(Ejection::new(name.clone(), lists.clone(), rules.ejection.clone()));
        Self {
            name: name.clone(),
            lists,
            master: OnceLock::new(),
            ejection,
            budget: Budget::new(rules.retries),
            connections: Connections::default(),
            figures: Arc::default(),
        }
    }

    /// Goes by what these rules say of all services.
    pub(super) fn set(&self, rules: &Rules) {
        self.ejection.set(rules.ejection.clone());
        self.budget.set(rules.retries);
    }

    pub(super) fn follow_master(&self, upstreams: &dyn Upstreams) {
        self.master.get_or_init(|| upstreams.master(&self.name));
    }

    /// The master, if one is known.
    pub(super) fn master(&self) -> Option<Chosen> {
        self.master.get().and_then(|master| master.borrow().clone()).map(Chosen::Master)
    }

    /// Somebody who was not tried, and is not out. When all who were not tried are out, one of them all the same: it is better
    /// than nobody.
    pub(super) fn pick(
        &self,
        balancer: &Balancer,
        request: Request<'_>,
        tried: &HashSet<InstanceId>,
    ) -> Result<Chosen, PickError> {
        let out = self.ejection.avoided();
        let mut avoided = None::<HashSet<InstanceId>>;
        if !tried.is_empty() {
            avoided = Some(out.union(tried).cloned().collect());
        }
        loop {
            match balancer.pick(&request.tried(avoided.as_ref().unwrap_or(&out))) {
                Ok(picked) => match self.ejection.admit(&picked.id) {
                    Some(attempt) => return Ok(Chosen::Picked(picked, Some(attempt))),
                    // Somebody else began to probe it in between.
                    None => _ = avoided.get_or_insert_with(|| (*out).clone()).insert(picked.id.clone()),
                },
                Err(PickError::Tried { .. }) => {
                    return balancer.pick(&request.tried(tried)).map(|picked| Chosen::Picked(picked, None));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Chosen {
    fn instance(&self) -> &Instance {
        match self {
            Self::Master(instance) => instance,
            Self::Picked(picked, _) => picked,
        }
    }

    pub(super) fn id(&self) -> &InstanceId {
        &self.instance().id
    }

    pub(super) fn address(&self) -> Option<&Address> {
        self.instance().data.address.as_ref()
    }

    /// The head of a good answer is there.
    pub(super) fn answered(&mut self) {
        if let Self::Picked(_, Some(attempt)) = self {
            attempt.answered();
        }
    }

    /// A good answer came to its end.
    pub(super) fn succeeded(self) {
        if let Self::Picked(_, Some(attempt)) = self {
            attempt.succeeded();
        }
    }

    /// It could not be reached, did not answer, or not well.
    pub(super) fn failed(self) {
        if let Self::Picked(picked, attempt) = self {
            if let Some(attempt) = attempt {
                attempt.failed();
            }
            picked.failed();
        }
    }
}
