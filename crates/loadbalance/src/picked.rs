//! What a pick gives.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use proto::Instance;

use crate::Candidate;

/// An instance that was picked. It counts as a request in flight until this is dropped, so keep it for as long as that takes.
///
/// Dropping it says that all went well, [`failed`](Self::failed) that it did not, [`abandoned`](Self::abandoned) neither. A request that takes too long failed as far as the
/// instance is concerned, so keep the guard outside of what is given up:
///
/// ```
/// # use std::time::Duration;
/// # use loadbalance::{Balancer, Request, RoundRobin};
/// # use proto::{Instance, NodeData};
/// # async fn ask(instance: &Instance) {}
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let balancer = Balancer::fixed([Instance::new(NodeData::at("a:1".parse()?))?], RoundRobin::default());
/// let picked = balancer.pick(&Request::default())?;
/// if tokio::time::timeout(Duration::from_secs(1), ask(&picked)).await.is_err() {
///     picked.failed();
/// }
/// # Ok(())
/// # }
/// ```
///
/// Where a request may be given up for reasons that are not the instance's, make the pick [tentative](Self::tentative): dropped, it then
/// says neither.
///
/// ```
/// # use loadbalance::{Balancer, LeastConnections, Request};
/// # use proto::{Instance, NodeData};
/// # async fn ask(instance: &Instance) -> Result<(), ()> { Ok(()) }
/// # async fn serve(balancer: &Balancer) -> Result<(), Box<dyn std::error::Error>> {
/// let picked = balancer.pick(&Request::default())?.tentative();
/// // May be dropped here: its client went away.
/// match ask(&picked).await {
///     Ok(()) => picked.succeeded(),
///     Err(()) => picked.failed(),
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "the request counts as done when this is dropped"]
pub struct Picked<C: Borrow<Arc<Candidate>> = Arc<Candidate>> {
    candidate: C,
    /// How many had failed in a row when it began.
    failures: u32,
    end: End,
}

#[derive(Clone, Copy)]
enum End {
    Done,
    Failed,
    /// It says nothing of the instance.
    Undecided,
    /// It goes on, and somebody else counts it.
    Elsewhere,
}

impl<C: Borrow<Arc<Candidate>>> Picked<C> {
    /// Counts a request in flight at this one, for those who choose by a [`Picker`](crate::Picker) themselves.
    #[inline]
    pub fn new(candidate: C) -> Self {
        let failures = candidate.borrow().load().begin();
        Self { candidate, failures, end: End::Done }
    }

    /// The instance, with how much it has to do.
    #[inline]
    pub fn candidate(&self) -> &Candidate {
        self.candidate.borrow()
    }

    /// The same pick, which says nothing of the instance if it is dropped without another word: neither that it is well, which would
    /// forgive it what failed before, nor that it is not.
    pub fn tentative(mut self) -> Self {
        self.end = End::Undecided;
        self
    }

    /// Ends the request as one that went well.
    pub fn succeeded(mut self) {
        self.end = End::Done;
    }

    /// Ends the request as one that failed: refused, broken off, too late, or answered in a way that another instance would not
    /// have. [`LeastConnections`](crate::LeastConnections) avoids the instance for a while.
    pub fn failed(mut self) {
        self.end = End::Failed;
    }

    /// Ends the request as one that says nothing of the instance: whoever asked gave it up half answered, or spoilt it by an own
    /// mistake. It is no failure, and forgives none.
    pub fn abandoned(mut self) {
        self.end = End::Undecided;
    }
}

impl Picked<&Arc<Candidate>> {
    /// The same pick on its own, for a task that outlives the [`Handle`](crate::Handle).
    pub fn into_owned(mut self) -> Picked {
        let end = std::mem::replace(&mut self.end, End::Elsewhere);
        Picked { candidate: self.candidate.clone(), failures: self.failures, end }
    }
}

impl<C: Borrow<Arc<Candidate>>> Deref for Picked<C> {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        self.candidate().instance()
    }
}

impl<C: Borrow<Arc<Candidate>>> Drop for Picked<C> {
    #[inline]
    fn drop(&mut self) {
        match self.end {
            End::Done => self.candidate().load().end(self.failures),
            End::Failed => self.candidate().load().fail(),
            End::Undecided => self.candidate().load().give_up(),
            End::Elsewhere => {}
        }
    }
}

impl<C: Borrow<Arc<Candidate>>> fmt::Debug for Picked<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Picked").field(self.candidate()).finish()
    }
}
