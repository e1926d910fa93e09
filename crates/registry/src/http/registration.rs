//! An instance that this process announced over HTTP.

use std::sync::Arc;

use proto::{InstanceId, NodeData, ServiceName};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::gateways::Shared;
use super::problem::Problem;
use super::renewing::keep;
use crate::Error;

/// An instance that this process announced over HTTP. A gateway registers it, and it is renewed there; where that is lost it is
/// registered again, with another gateway perhaps, until it is withdrawn.
///
/// It is not renewed where the process is stopped or the gateways are away: its time to live ([`Builder::ttl`](super::Builder::ttl)) later
/// the gateway takes it away, and so does a gateway that is stopped. It is registered again at the next renewal, a third of that time later
/// at most. A gateway that has lost ZooKeeper, and could not register it for as long as an answer may take
/// ([`Builder::answer_within`](super::Builder::answer_within)), is left for another one that has it.
///
/// Dropping it withdraws the instance in the background.
#[derive(Debug)]
pub struct Registration {
    id: InstanceId,
    wanted: watch::Sender<NodeData>,
    status: watch::Receiver<Status>,
    task: JoinHandle<()>,
}

/// How a [`Registration`] stands.
#[derive(Clone, Debug)]
pub enum Status {
    /// The instance is not known to be registered: not yet, or not since a renewal failed.
    Registering {
        /// Why the last try failed.
        problem: Option<Problem>,
    },
    /// The instance is registered, as was last said about it.
    Registered {
        /// The gateway that registers it.
        gateway: Arc<str>,
    },
    /// A newer process with the same id has taken its place. This is for good.
    Replaced,
    /// It was withdrawn. This is for good.
    Withdrawn,
}

impl Registration {
    pub(super) fn start(shared: Arc<Shared>, service: &ServiceName, id: InstanceId, data: NodeData) -> Self {
        let (wanted, wishes) = watch::channel(data);
        let (told, status) = watch::channel(Status::Registering { problem: None });
        let task = tokio::spawn(keep(shared, service.clone(), id.clone(), wishes, told));
        Self { id, wanted, status, task }
    }

    /// Under which id it was announced.
    pub fn id(&self) -> &InstanceId {
        &self.id
    }

    /// What was last said about it, written already or not.
    pub fn data(&self) -> NodeData {
        self.wanted.borrow().clone()
    }

    /// How it stands, and every change of that (fast ones may be skipped). Outlives the registration.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Waits until the instance is known to be registered. Bound it: without a gateway, and while that is without ZooKeeper, this waits.
    ///
    /// # Errors
    ///
    /// [`Error::Replaced`] when a newer process has taken its place, [`Error::Withdrawn`] when the runtime is shut down.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn registered(&self) -> Result<(), Error> {
        let mut status = self.status();
        let reached = status.wait_for(|status| !matches!(status, Status::Registering { .. })).await;
        match reached.as_deref() {
            Ok(Status::Registered { .. }) => Ok(()),
            Ok(Status::Replaced) => Err(Error::Replaced),
            Ok(_) | Err(_) => Err(Error::Withdrawn),
        }
    }

    /// Changes what is said about the instance; it stays registered, under the same id. The latest wins, also when no gateway is there now.
    /// `registered_at` stays as it is.
    ///
    /// `change` must not use this registration.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when the data is not valid or is too large; nothing is changed then. [`Error::Replaced`] and
    /// [`Error::Withdrawn`] when there is nothing to change any more.
    pub fn update(&self, change: impl FnOnce(&mut NodeData)) -> Result<(), Error> {
        match *self.status.borrow() {
            Status::Replaced => return Err(Error::Replaced),
            Status::Withdrawn => return Err(Error::Withdrawn),
            Status::Registering { .. } | Status::Registered { .. } => {}
        }
        let mut refused = None;
        self.wanted.send_if_modified(|data| {
            let mut changed = data.clone();
            change(&mut changed);
            changed.registered_at = data.registered_at;
            match check(&changed) {
                Err(error) => refused = Some(error),
                Ok(()) if changed == *data => {}
                Ok(()) => {
                    *data = changed;
                    return true;
                }
            }
            false
        });
        refused.map_or(Ok(()), Err)
    }

    /// Changes the weight; 0 drains it.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update).
    pub fn set_weight(&self, weight: u32) -> Result<(), Error> {
        self.update(|data| data.weight = weight)
    }

    /// Takes the instance away and waits until it is gone, or until its time to live is over, after which no gateway keeps it. Bound it.
    ///
    /// Where the answer to its last registering was lost, or does not come within 3 s from now (half its time to live, if that is less), it may
    /// be listed for up to its time to live.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the withdrawal goes on in the background.
    pub async fn withdraw(self) {
        let Self { wanted, task, .. } = self;
        drop(wanted);
        // It ends by itself, or with its runtime.
        let _ = task.await;
    }
}

/// Whether a gateway will take this.
pub(super) fn check(data: &NodeData) -> Result<(), Error> {
    NodeData::from_json(data.to_json()).map(drop).map_err(Error::invalid)
}
