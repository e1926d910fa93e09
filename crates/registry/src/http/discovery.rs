//! The instances of a service, as gateways tell them.

use std::sync::Arc;

use proto::ServiceName;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::following::follow;
use super::gateways::Shared;
use super::problem::Problem;
use super::published::Publisher;
use crate::{Changes, Error, Instances, View};

/// Follows the instances of one service over HTTP, until it is dropped.
///
/// It publishes what a [`registry::Discovery`](crate::Discovery) does, so whatever works on the lists of one works on those of the
/// other. Losing the gateways empties no list: it stays, stale since something was last heard, as it does when the gateway itself has lost
/// ZooKeeper. A service that is not there has an empty list, as on ZooKeeper; it is asked for every few seconds, and stale in between. That a
/// gateway of the flat layout has its one service by another name says nothing of who is in it, and empties no list. Receivers stay usable when this is dropped, and keep the last value.
#[derive(Debug)]
pub struct Discovery {
    service: ServiceName,
    view: watch::Receiver<Option<View>>,
    entries: watch::Receiver<Option<Instances>>,
    problem: watch::Receiver<Option<Problem>>,
    /// It owes the gateways nothing: it ends, and its connection with it, when this is dropped.
    _task: JoinSet<()>,
}

impl Discovery {
    pub(super) fn follow(shared: Arc<Shared>, service: &ServiceName) -> Self {
        let (view, views) = watch::channel(None);
        let (entries, lists) = watch::channel(None);
        let (problem, problems) = watch::channel(None);
        let publisher =
            Publisher { service: service.clone(), view, entries, problem, logged: Default::default() };
        let mut task = JoinSet::new();
        task.spawn(async move { match follow(shared, publisher).await {} });
        Self { service: service.clone(), view: views, entries: lists, problem: problems, _task: task }
    }

    /// Which service.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// The list that callers are to use; `None` before the first whole one. What a balancer follows. It is published
    /// after the [`view`](Self::view), which is never behind.
    pub fn instances(&self) -> watch::Receiver<Option<Instances>> {
        self.entries.clone()
    }

    /// The list with its source and what of it cannot be used; `None` before the first whole one.
    ///
    /// Gateways do not tell of transactions: those of a [`BadNode`](crate::BadNode) are 0. Since when a list is stale that was so
    /// before it came here goes by the clocks of both machines.
    pub fn view(&self) -> watch::Receiver<Option<View>> {
        self.view.clone()
    }

    /// Waits for the first whole list, and gives the latest when that is here. Bound it: without a gateway this waits.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the runtime that follows is shut down.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn ready(&self) -> Result<Instances, Error> {
        let mut lists = self.instances();
        let first = lists.wait_for(Option::is_some).await;
        first.ok().and_then(|list| list.clone()).ok_or(Error::Closed)
    }

    /// Why the service cannot be followed right now: no gateway can be reached, or one refuses, as it does
    /// when there is no such service. `None` while one serves.
    pub fn problem(&self) -> watch::Receiver<Option<Problem>> {
        self.problem.clone()
    }

    /// What changes from one list to the next, for those who want that; the first is everything that is there.
    pub fn changes(&self) -> Changes {
        Changes::of(self.instances())
    }
}
