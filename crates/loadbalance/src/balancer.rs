//! Picks from whatever list is the latest.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use list::List;
use proto::{Instance, InstanceId};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::following::follow;
use crate::shared::Shared;
use crate::snapshot;
use crate::{Algorithm, Candidates, Explanation, Filter, Handle, PickError, Picked, Pool, Request};

/// A whole list of instances, each there once.
pub type Instances = List<Instance>;

/// Picks instances from the latest list, by an algorithm.
///
/// The list is fixed, given by hand, or followed: `Discovery::instances` of the crate `registry` is such a channel, and any other
/// will do. Each new list is prepared for beside the picks, which go on with the one before until then; what is known of an instance
/// stays with its id. Cloning gives the same balancer again.
///
/// A list of up to 16 instances, unless they have large weights, is prepared for in a task, a larger one on a thread of its own, or in the task if the system has no
/// thread; those of `spawn_blocking` may all be busy. A paused clock of tokio goes on while such a thread works.
///
/// # Examples
///
/// ```
/// use loadbalance::{Balancer, Request, RoundRobin};
/// use proto::{Instance, NodeData};
///
/// let at = |address: &str| Instance::new(NodeData::at(address.parse().unwrap())).unwrap();
/// let balancer = Balancer::fixed([at("10.0.0.1:80"), at("10.0.0.2:80")], RoundRobin::default());
///
/// let picked = balancer.pick(&Request::default())?;
/// assert_eq!(picked.id.as_str(), "10.0.0.1:80");
/// assert_eq!(picked.candidate().in_flight(), 1);
/// // … ask it …
/// drop(picked); // or `picked.failed()`
/// # Ok::<(), loadbalance::PickError>(())
/// ```
#[derive(Clone)]
pub struct Balancer {
    shared: Arc<Shared>,
}

impl Balancer {
    /// A balancer with a filter or a pool.
    pub fn builder(algorithm: impl Algorithm + 'static) -> Builder {
        Builder { algorithm: Arc::new(algorithm), filter: None, pool: Pool::All }
    }

    /// A balancer for these instances.
    pub fn fixed(instances: impl IntoIterator<Item = Instance>, algorithm: impl Algorithm + 'static) -> Self {
        Self::builder(algorithm).fixed(instances)
    }

    /// A balancer for the lists of this channel. Not ready before the first. Whoever brings the lists has to stay: once a
    /// `Discovery` of the crate `registry` is dropped, no more lists come, and picks go on with the last one.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use loadbalance::{Balancer, Instance, NodeData, Request, RoundRobin};
    /// # use std::{sync::Arc, time::Duration};
    /// # let instance = Arc::new(Instance::new(NodeData::at("10.0.0.7:80".parse()?))?);
    /// let (lists, receiver) = tokio::sync::watch::channel(None); // or discovery.instances()
    /// let balancer = Balancer::follow(receiver, RoundRobin::from_anywhere());
    ///
    /// lists.send_replace(Some([instance].into()));
    /// let picked = balancer.pick_within(Duration::from_secs(5), &Request::default()).await?;
    /// let address = picked.data.address.as_ref().ok_or("reached through a broker only")?;
    /// assert_eq!((address.host(), address.port()), ("10.0.0.7", 80));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn follow(lists: watch::Receiver<Option<Instances>>, algorithm: impl Algorithm + 'static) -> Self {
        Self::builder(algorithm).follow(lists)
    }

    /// Picks an instance for a request, without waiting.
    ///
    /// # Errors
    ///
    /// Why there is nobody to pick: see [`PickError`].
    pub fn pick(&self, request: &Request<'_>) -> Result<Picked, PickError> {
        self.shared.current.load().pick(request).map(|candidate| Picked::new(candidate.clone()))
    }

    /// Picks an instance for a request; while there is nobody to pick, waits for a list that has somebody.
    ///
    /// # Errors
    ///
    /// As [`pick`](Self::pick): at once when the request is what keeps it from being served, because it has no key or everybody was
    /// tried, or because no list will come any more; else once the time is over.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with time, when there is nobody to pick.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time: nothing is picked then.
    pub async fn pick_within(&self, limit: Duration, request: &Request<'_>) -> Result<Picked, PickError> {
        match self.pick(request) {
            Err(error) if error.may_pass() => {}
            picked => return picked,
        }
        let mut lists = self.shared.news.subscribe();
        let somebody = async {
            loop {
                lists.borrow_and_update();
                let may_come = !self.shared.is_closed();
                match self.pick(request) {
                    Err(error) if error.may_pass() && may_come && lists.changed().await.is_ok() => {}
                    picked => return picked,
                }
            }
        };
        match timeout(limit, somebody).await {
            Ok(picked) => picked,
            Err(_) => self.pick(request),
        }
    }

    /// Waits for the first whole list. Bound it: it may never come.
    ///
    /// # Errors
    ///
    /// [`PickError::Closed`] when whoever was to bring it is gone.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn ready(&self) -> Result<(), PickError> {
        let mut lists = self.shared.news.subscribe();
        // The sender lives as long as this balancer does.
        let _ = lists.wait_for(|_| self.shared.is_settled()).await;
        self.shared.readiness()
    }

    /// Waits until those who may be picked are as wished; a list that has changed counts from when picks use it.
    ///
    /// # Errors
    ///
    /// Why nobody can be picked, when that is not as wished and no list will come any more, because whoever was to bring it is gone:
    /// [`PickError::Closed`] when none ever came, else as [`pick`](Self::pick). While somebody can be picked this waits all the same.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn wait_for(
        &self,
        mut wished: impl FnMut(&Candidates) -> bool,
    ) -> Result<Candidates, PickError> {
        let mut lists = self.shared.news.subscribe();
        loop {
            lists.borrow_and_update();
            let may_come = !self.shared.is_closed();
            let now = self.shared.current.load_full();
            if now.list == snapshot::List::Here && wished(&now.candidates) {
                return Ok(now.candidates.clone());
            }
            if !may_come && now.candidates.is_empty() {
                return Err(now.refusal(&Request::default()));
            }
            drop(now);
            // The sender lives as long as this balancer does.
            let _ = lists.changed().await;
        }
    }

    /// Waits until those who may be picked are others than these, which [`candidates`](Self::candidates) gave, and gives them. It ends for no
    /// other reason: where no list will come any more, one may be given by hand.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn other_than(&self, seen: &Candidates) -> Candidates {
        let mut lists = self.shared.news.subscribe();
        loop {
            lists.borrow_and_update();
            let now = self.candidates();
            if !Arc::ptr_eq(seen, &now) {
                return now;
            }
            // The sender lives as long as this balancer does.
            let _ = lists.changed().await;
        }
    }

    /// For a loop that picks again and again: no lock, nothing allocated, and no reference counted.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(self.shared.clone())
    }

    /// Takes this list from now on; a balancer that follows a channel, until the next one comes from there. Of instances with the
    /// same id the first counts. Prepares for the list before it returns, which for 100,000 instances takes 0.1 s and more: in a task,
    /// `spawn_blocking` is the place for it.
    pub fn replace(&self, instances: impl IntoIterator<Item = Instance>) {
        self.shared.replace_by_hand(instances.into_iter().map(Arc::new).collect());
    }

    /// Those who may be picked now.
    #[must_use]
    pub fn candidates(&self) -> Candidates {
        self.shared.current.load().candidates.clone()
    }

    /// Picks an instance for a request and tells of everybody in the list why it was chosen or was not. For people: it goes
    /// through the whole list. It takes a turn as a pick does, and counts nothing in flight.
    #[must_use]
    pub fn explain(&self, request: &Request<'_>) -> Explanation {
        Explanation::of(&self.shared.current.load(), request)
    }
}

impl fmt::Debug for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.shared.current.load();
        f.debug_struct("Balancer")
            .field("algorithm", &now.algorithm.name())
            .field("listed", &now.listed.len())
            .field("candidates", &now.candidates.len())
            .finish_non_exhaustive()
    }
}

/// A balancer to be. See [`Balancer::builder`].
#[must_use]
pub struct Builder {
    algorithm: Arc<dyn Algorithm>,
    filter: Option<Filter>,
    pool: Pool,
}

impl Builder {
    /// Only those that the filter accepts.
    pub fn filter(self, filter: Filter) -> Self {
        Self { filter: Some(filter), ..self }
    }

    /// Only those of this pool.
    pub fn pool(self, pool: Pool) -> Self {
        Self { pool, ..self }
    }

    /// For these instances.
    ///
    /// # Panics
    ///
    /// With [`Pool::Normal`], outside a tokio runtime.
    pub fn fixed(self, instances: impl IntoIterator<Item = Instance>) -> Balancer {
        let balancer = self.by_hand();
        balancer.replace(instances);
        balancer
    }

    /// For lists that come by [`Balancer::replace`]. Not ready before the first.
    ///
    /// # Panics
    ///
    /// With [`Pool::Normal`], outside a tokio runtime.
    pub fn by_hand(self) -> Balancer {
        self.build(None)
    }

    /// For the lists of a channel. One that is there is prepared for at once, before this returns, which for 100,000 instances takes
    /// 0.1 s and more.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn follow(self, lists: watch::Receiver<Option<Instances>>) -> Balancer {
        self.build(Some(lists))
    }

    fn build(self, lists: Option<watch::Receiver<Option<Instances>>>) -> Balancer {
        let master: Option<watch::Receiver<Option<InstanceId>>> = match &self.pool {
            Pool::All => None,
            Pool::Normal(master) => Some(master.clone()),
        };
        let shared = Arc::new(Shared::new(self.algorithm, self.filter, self.pool));
        if lists.is_some() || master.is_some() {
            follow(&shared, lists, master);
        }
        Balancer { shared }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("algorithm", &self.algorithm.name())
            .field("filter", &self.filter)
            .field("pool", &self.pool)
            .finish()
    }
}
