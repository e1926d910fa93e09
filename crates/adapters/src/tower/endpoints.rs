//! What instances are asked with, kept for as long as they may be picked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use loadbalance::{Balancer, Candidates, Instance, InstanceId};
use tokio::task::AbortHandle;
use tower::BoxError;

/// Makes what an instance is asked with.
pub(super) type Make<S> = dyn Fn(&Instance) -> Result<S, BoxError> + Send + Sync;

/// A service for each instance that was picked and may be picked again.
pub(super) struct Endpoints<S> {
    balancer: Balancer,
    make: Box<Make<S>>,
    known: Mutex<HashMap<InstanceId, Endpoint<S>>>,
    sweeping: OnceLock<AbortHandle>,
}

struct Endpoint<S> {
    of: Arc<Instance>,
    service: S,
}

impl<S: Clone + Send + 'static> Endpoints<S> {
    /// Forgets whoever may not be picked any more, in a task that ends with this.
    pub(super) fn new(balancer: Balancer, make: Box<Make<S>>) -> Arc<Self> {
        let endpoints = Arc::new(Self {
            balancer: balancer.clone(),
            make,
            known: Mutex::default(),
            sweeping: OnceLock::new(),
        });
        let task = tokio::spawn(sweep(Arc::downgrade(&endpoints), balancer));
        // Set once, here.
        let _ = endpoints.sweeping.set(task.abort_handle());
        endpoints
    }

    /// What this instance is asked with: made for the first request, and again once it is elsewhere.
    pub(super) fn of(&self, instance: &Arc<Instance>) -> Result<S, BoxError> {
        let mut known = self.lock();
        if let Some(endpoint) = known.get(&instance.id)
            && is_same_place(&endpoint.of, instance)
        {
            return Ok(endpoint.service.clone());
        }
        let service = (self.make)(instance)?;
        // Who was picked from the list before may be gone by now, or be elsewhere: nobody would forget it.
        let listed = self.balancer.candidates();
        if listed.iter().any(|listed| is_same_place(listed.instance(), instance)) {
            let endpoint = Endpoint { of: instance.clone(), service: service.clone() };
            known.insert(instance.id.clone(), endpoint);
        }
        Ok(service)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Keeps those of these candidates alone.
    fn keep(&self, candidates: &Candidates) {
        let mut known = self.lock();
        let mut kept = HashMap::with_capacity(known.len());
        for candidate in candidates.iter() {
            if let Some((id, endpoint)) = known.remove_entry(candidate.id())
                && is_same_place(&endpoint.of, candidate.instance())
            {
                kept.insert(id, endpoint);
            }
        }
        let gone = std::mem::replace(&mut *known, kept);
        drop(known);
        // Connections are closed here, where nobody waits for it; requests that run have clones.
        drop(gone);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceId, Endpoint<S>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Drop for Endpoints<S> {
    fn drop(&mut self) {
        if let Some(sweeping) = self.sweeping.get() {
            sweeping.abort();
        }
    }
}

/// Whether both are reached in the same way: all but the weight and the time of the registration are the same.
pub(super) fn is_same_place(one: &Instance, other: &Instance) -> bool {
    let place = |instance: &Instance| {
        let Instance { id, data } = instance.clone();
        (id, data.address, data.unique_code, data.metadata)
    };
    std::ptr::eq(one, other) || place(one) == place(other)
}

async fn sweep<S: Clone + Send + 'static>(endpoints: Weak<Endpoints<S>>, balancer: Balancer) {
    let mut seen: Option<Candidates> = None;
    loop {
        let is_news = |now: &Candidates| seen.as_ref().is_none_or(|seen| !Arc::ptr_eq(seen, now));
        let Ok(now) = balancer.wait_for(is_news).await else { return };
        let Some(endpoints) = endpoints.upgrade() else { return };
        endpoints.keep(&now);
        seen = Some(now);
    }
}
