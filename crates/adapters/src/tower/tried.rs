//! Who was asked already.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use loadbalance::{Balancer, InstanceId, PickError, Picked, Request};

/// The instances that a request was sent to, or was to be sent to. Put among the extensions of a request of `http` (or of tonic) it keeps the next try
/// from going there again: a clone is the same set, and clones of a request have clones of its extensions.
///
/// Once everybody was tried, [`PickError::Tried`] says so, and nobody is asked twice.
///
/// # Examples
///
/// ```
/// use adapters::tower::Tried;
///
/// let tried = Tried::default();
/// let request = http::Request::get("/").extension(tried.clone()).body(())?;
/// // … sent twice, by a layer that tries again, for example …
/// # drop(request);
/// assert_eq!(tried.ids().len(), 0); // who was asked
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tried(Arc<Mutex<HashSet<InstanceId>>>);

impl Tried {
    /// Who was asked so far.
    pub fn ids(&self) -> HashSet<InstanceId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// This one is not asked again.
    pub(super) fn add(&self, id: InstanceId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    /// Picks somebody else, who counts as tried from then on.
    pub(super) fn pick(&self, balancer: &Balancer, request: Request<'_>) -> Result<Picked, PickError> {
        let mut tried = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let picked = balancer.pick(&request.tried(&tried))?;
        tried.insert(picked.id.clone());
        Ok(picked)
    }
}
