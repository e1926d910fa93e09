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
/// Dropped without another word, it tells nothing of the instance, neither ejection nor the balancer.
#[derive(Debug)]
pub(super) enum Chosen {
    /// There is one alone, and nobody to turn to when it fails.
    Master(Arc<Instance>),
    /// A tentative pick.
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

    pub(super) fn has_list(&self) -> bool {
        self.lists.borrow().is_some()
    }

    /// Waits for its first list; no longer, if none will come.
    pub(super) async fn listed(&self) {
        // It fails when nobody can bring one any more.
        let _ = self.lists.clone().wait_for(Option::is_some).await;
    }

    /// Waits until a master is known, if a rule asks for one.
    pub(super) async fn led(&self) {
        let Some(mut master) = self.master.get().cloned() else { return };
        // It fails when nobody can tell any more.
        let _ = master.wait_for(Option::is_some).await;
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
                    Some(attempt) => return Ok(Chosen::Picked(picked.tentative(), Some(attempt))),
                    // Somebody else began to probe it in between.
                    None => {
                        avoided.get_or_insert_with(|| (*out).clone()).insert(picked.id.clone());
                        drop(picked.tentative());
                    }
                },
                Err(PickError::Tried { .. }) => {
                    let picked = balancer.pick(&request.tried(tried))?;
                    return Ok(Chosen::Picked(picked.tentative(), None));
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

    /// Whether it is well is not known as soon as it should be, for the client is slow.
    pub(super) fn tells_nothing(&mut self) {
        if let Self::Picked(_, Some(attempt)) = self {
            attempt.tells_nothing();
        }
    }

    /// A good answer came to its end.
    pub(super) fn succeeded(self) {
        if let Self::Picked(picked, attempt) = self {
            if let Some(attempt) = attempt {
                attempt.succeeded();
            }
            picked.succeeded();
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

#[cfg(test)]
mod tests {
    use loadbalance::LeastConnections;
    use proto::NodeData;

    use super::*;

    struct Lists(watch::Sender<Option<Instances>>);

    impl Upstreams for Lists {
        fn instances(&self, _: &ServiceName) -> watch::Receiver<Option<Instances>> {
            self.0.subscribe()
        }

        fn master(&self, _: &ServiceName) -> watch::Receiver<Option<Arc<Instance>>> {
            watch::Sender::default().subscribe()
        }
    }

    #[tokio::test]
    async fn only_what_is_told_of_an_instance_counts() {
        let data = NodeData::at("127.0.0.1:1".parse().unwrap());
        let instance = Instance { id: "a".parse().unwrap(), data };
        let lists = Lists(watch::Sender::new(Some([Arc::new(instance.clone())].into_iter().collect())));
        let service = Service::new(&"s".parse().unwrap(), &lists, &Rules::default());
        let balancer = Balancer::fixed([instance], LeastConnections);
        let pick = || service.pick(&balancer, Request::default(), &HashSet::new()).unwrap();
        let counts = || {
            let candidates = balancer.candidates();
            (candidates[0].failures(), candidates[0].in_flight())
        };
        pick().failed();
        assert_eq!(counts(), (1, 0));
        let given_up = pick();
        assert_eq!(counts(), (1, 1));
        drop(given_up);
        assert_eq!(counts(), (1, 0), "a client that went away says nothing");
        pick().succeeded();
        assert_eq!(counts(), (0, 0));
    }
}
