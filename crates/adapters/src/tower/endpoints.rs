//! What instances are asked with, kept for as long as they may be picked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use loadbalance::{Balancer, Candidates, Instance, InstanceId, NodeData};
use tokio::task::AbortHandle;
use tower::BoxError;

/// Makes what an instance is asked with.
pub(super) type Make<S> = dyn Fn(&Instance) -> Result<S, BoxError> + Send + Sync;

/// A service for each instance that was picked and may be picked again.
pub(super) struct Endpoints<S> {
    balancer: Balancer,
    make: Box<Make<S>>,
    known: Mutex<HashMap<InstanceId, Endpoint<S>>>,
    /// Whether other metadata are another place.
    by_metadata: AtomicBool,
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
            by_metadata: AtomicBool::new(false),
            sweeping: OnceLock::new(),
        });
        let task = tokio::spawn(sweep(Arc::downgrade(&endpoints), balancer));
        // Set once, here.
        let _ = endpoints.sweeping.set(task.abort_handle());
        endpoints
    }

    /// What this instance is asked with: made for the first request, and again once it is elsewhere.
    pub(super) fn of(&self, instance: &Arc<Instance>) -> Result<S, BoxError> {
        if let Some(service) = self.known(&mut self.lock(), instance) {
            return Ok(service);
        }
        // Without the lock, for which every request waits: this is somebody else's code, and may take a while.
        let made = (self.make)(instance)?;
        let mut known = self.lock();
        if let Some(service) = self.known(&mut known, instance) {
            return Ok(service);
        }
        // Who was picked from the list before may be gone by now, or be elsewhere: nobody would forget it.
        let listed = self.balancer.candidates();
        if listed.iter().any(|listed| self.is_same_place(listed.instance(), instance)) {
            let endpoint = Endpoint { of: instance.clone(), service: made.clone() };
            known.insert(instance.id.clone(), endpoint);
        }
        Ok(made)
    }

    fn known(&self, known: &mut HashMap<InstanceId, Endpoint<S>>, instance: &Arc<Instance>) -> Option<S> {
        let endpoint = known.get_mut(&instance.id)?;
        if !Arc::ptr_eq(&endpoint.of, instance) {
            if !self.is_same_place(&endpoint.of, instance) {
                return None;
            }
            // The next one need not compare again.
            endpoint.of = instance.clone();
        }
        Some(endpoint.service.clone())
    }

    fn is_same_place(&self, one: &Instance, other: &Instance) -> bool {
        is_same_place(one, other, self.by_metadata.load(Relaxed))
    }

    /// From now on other metadata are another place.
    pub(super) fn renew_by_metadata(&self) {
        self.by_metadata.store(true, Relaxed);
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
                && self.is_same_place(&endpoint.of, candidate.instance())
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

/// Whether both are one instance that is reached in the same way: neither its weight nor the time of its registration decides that, and its
/// metadata do where they are read for it.
pub(super) fn is_same_place(one: &Instance, other: &Instance, by_metadata: bool) -> bool {
    fn place(instance: &Instance, by_metadata: bool) -> impl PartialEq + '_ {
        let Instance { id, data } = instance;
        let NodeData { address, unique_code, weight: _, registered_at: _, metadata } = data;
        (id, address, unique_code, by_metadata.then_some(metadata))
    }
    std::ptr::eq(one, other) || place(one, by_metadata) == place(other, by_metadata)
}

async fn sweep<S: Clone + Send + 'static>(endpoints: Weak<Endpoints<S>>, balancer: Balancer) {
    let mut now = balancer.candidates();
    loop {
        let Some(endpoints) = endpoints.upgrade() else { return };
        endpoints.keep(&now);
        drop(endpoints);
        // Also where no list will come any more: one may be given by hand.
        now = balancer.other_than(&now).await;
    }
}
