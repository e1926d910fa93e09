//! Changes of a followed service, for tower's own balancer and others who discover.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use loadbalance::{Instance, InstanceId, Instances};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tower::BoxError;
use tower::discover::Change;
use tracing::warn;

use super::endpoints::{Make, is_same_place};

/// The instances of a followed service as changes, with a service for each: tower's
/// [`Discover`](tower::discover::Discover), for `tower::balance` and whatever else takes that.
///
/// One whose weight is 0 is left out. One that is elsewhere now, under the same id, is removed and inserted again; another weight is no change,
/// for tower knows none, and other metadata are none unless [`renew_by_metadata`](Self::renew_by_metadata) says so. Changes come from whole lists: whoever is slow misses what was there in between, and ends with what is there.
///
/// tower's balancer forgets a service that fails to become ready, for as long as the instance stays in the list:
/// [`Balance`](super::Balance) does not.
///
/// # Examples
///
/// ```
/// use adapters::tower::Discovered;
/// use loadbalance::{Instance, NodeData};
/// use std::sync::Arc;
/// use tower::{Service, ServiceExt, balance::p2c::Balance, load::Constant, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower::BoxError> {
/// let instance = Arc::new(Instance::new(NodeData::at("10.0.0.7:80".parse()?))?);
/// let (lists, receiver) = tokio::sync::watch::channel(Some([instance].into())); // or discovery.instances()
///
/// let discovered = Discovered::new(receiver, |instance| {
///     let id = instance.id.clone();
///     let ask = service_fn(move |request: &'static str| std::future::ready(Ok::<_, tower::BoxError>(format!("{request} {id}"))));
///     Ok(Constant::new(ask, 1)) // asks it
/// });
/// let mut balance = Balance::new(discovered);
/// assert_eq!(balance.ready().await?.call("to").await?, "to 10.0.0.7:80");
/// # drop(lists);
/// # Ok(())
/// # }
/// ```
pub struct Discovered<S> {
    lists: WatchStream<Option<Instances>>,
    make: Box<Make<S>>,
    /// Whether other metadata are another place.
    by_metadata: bool,
    /// Who is in the list, and whether it has a service.
    known: BTreeMap<InstanceId, (Arc<Instance>, bool)>,
    /// What is to be told next.
    changes: VecDeque<Change<InstanceId, S>>,
}

/// Nothing in it is pinned.
impl<S> Unpin for Discovered<S> {}

impl<S> Discovered<S> {
    /// Follows the lists of this channel, and makes a service for each instance. One for which none can be made is left out, with a
    /// warning, until it changes.
    pub fn new(
        lists: watch::Receiver<Option<Instances>>,
        make: impl Fn(&Instance) -> Result<S, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            lists: WatchStream::new(lists),
            make: Box::new(make),
            by_metadata: false,
            known: BTreeMap::new(),
            changes: VecDeque::new(),
        }
    }

    /// Removes an instance and inserts it again also when its metadata change, for those who read them when they make a service.
    #[must_use]
    pub fn renew_by_metadata(self) -> Self {
        Self { by_metadata: true, ..self }
    }

    fn compare(&mut self, now: &Instances) {
        let mut before = std::mem::take(&mut self.known);
        for instance in now.iter().filter(|instance| instance.data.weight > 0) {
            let had = before.remove(&instance.id);
            let has = match &had {
                Some((was, has)) if is_same_place(was, instance, self.by_metadata) => *has,
                _ => self.place(instance, had.is_some_and(|(_, had)| had)),
            };
            self.known.insert(instance.id.clone(), (instance.clone(), has));
        }
        let gone = before.into_iter().filter(|(_, (_, had))| *had);
        self.changes.extend(gone.map(|(id, _)| Change::Remove(id)));
    }

    /// Makes a service for an instance that is new, or elsewhere. Gives whether it has one.
    fn place(&mut self, instance: &Instance, had: bool) -> bool {
        let id = instance.id.clone();
        // Where it was before, it is not any more: tower's balancer would ask there until the new service is ready.
        self.changes.extend(had.then(|| Change::Remove(id.clone())));
        match (self.make)(instance) {
            Ok(service) => {
                self.changes.push_back(Change::Insert(id, service));
                true
            }
            Err(error) => {
                warn!(error = &*error as &dyn Error, %id, "cannot make a service for an instance");
                false
            }
        }
    }
}

impl<S> Stream for Discovered<S> {
    type Item = Result<Change<InstanceId, S>, Infallible>;

    /// Ends when whoever brings the lists is gone.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(change) = self.changes.pop_front() {
                return Poll::Ready(Some(Ok(change)));
            }
            match ready!(Pin::new(&mut self.lists).poll_next(cx)) {
                None => return Poll::Ready(None),
                Some(None) => {}
                Some(Some(now)) => self.compare(&now),
            }
        }
    }
}

impl<S> fmt::Debug for Discovered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovered").field("known", &self.known.keys()).finish_non_exhaustive()
    }
}
