//! Picks in a loop.

use std::fmt;
use std::sync::Arc;

use crate::shared::Shared;
use crate::snapshot::{Snapshot, at_once};
use crate::{Candidate, Candidates, PickError, Picked, Picker, Request};

/// Picks for one task or thread, which keeps the latest list at hand: a pick only looks whether there is another one.
///
/// One that picks no more keeps the list of its last pick in memory, with all that was prepared for it.
///
/// # Examples
///
/// ```
/// use loadbalance::{Balancer, Instance, NodeData, Request, RoundRobin};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let at = |address: &str| Ok::<_, Box<dyn std::error::Error>>(Instance::new(NodeData::at(address.parse()?))?);
/// let balancer = Balancer::fixed([at("10.0.0.1:80")?, at("10.0.0.2:80")?], RoundRobin::default());
/// let mut handle = balancer.handle(); // one for each task
/// let first = handle.pick(&Request::default())?.id.clone();
/// assert_ne!(handle.pick(&Request::default())?.id, first);
/// # Ok(())
/// # }
/// ```
pub struct Handle {
    /// As in the snapshot, with a step less to each.
    picker: Arc<dyn Picker>,
    candidates: Candidates,
    snapshot: Arc<Snapshot>,
    revision: u64,
    /// What is followed is followed for as long as somebody picks.
    shared: Arc<Shared>,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let revision = shared.revision();
        let snapshot = shared.current.load_full();
        let (picker, candidates) = (snapshot.picker.clone(), snapshot.candidates.clone());
        Self { picker, candidates, snapshot, revision, shared }
    }

    /// Picks an instance for a request, which counts as in flight until the guard is dropped.
    ///
    /// # Errors
    ///
    /// As [`Balancer::pick`](crate::Balancer::pick).
    #[inline]
    pub fn pick(&mut self, request: &Request<'_>) -> Result<Picked<&Arc<Candidate>>, PickError> {
        self.choose(request).map(Picked::new)
    }

    /// Picks an instance for a request without counting it: for those who do not care how many requests are in flight, or count
    /// themselves. For [`LeastConnections`](crate::LeastConnections) every instance is idle then.
    ///
    /// # Errors
    ///
    /// As [`Balancer::pick`](crate::Balancer::pick).
    #[inline]
    pub fn choose(&mut self, request: &Request<'_>) -> Result<&Arc<Candidate>, PickError> {
        if self.shared.revision() != self.revision {
            self.catch_up();
        }
        match at_once(&*self.picker, &self.candidates, request) {
            Some(candidate) => Ok(candidate),
            None => self.snapshot.pick_carefully(request),
        }
    }

    #[cold]
    #[inline(never)]
    fn catch_up(&mut self) {
        *self = Self::new(self.shared.clone());
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self::new(self.shared.clone())
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
