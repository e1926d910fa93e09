//! An instance that this process announced.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use proto::{InstanceId, NodeData};
use tokio::sync::watch;
use zk_session::{Presence, SessionId};

use crate::wall::unix_millis;
use crate::{Error, Layout};

/// An instance that this process announced. It is registered, and again whenever that is lost, until it is withdrawn.
///
/// Dropping it withdraws the instance in the background.
///
/// ```text
///   Registering ─────► Registered ────► Replaced       by a newer process with the same id
///       ▲                  │
///       └──────────────────┘ ─────────► Withdrawn      from any state
/// ```
#[derive(Debug)]
pub struct Registration {
    id: InstanceId,
    data: Mutex<NodeData>,
    layout: Arc<dyn Layout>,
    presence: Presence,
    status: OnceLock<watch::Receiver<Status>>,
    path: String,
}

/// How a [`Registration`] stands.
#[derive(Clone, Debug)]
pub enum Status {
    /// The instance is not known to be registered: not yet, or not since the connection went.
    Registering {
        /// What an operator would have to know: the last try failed for this reason. That there is no connection is
        /// told by [`Sessions::state`](zk_session::Sessions::state) alone.
        problem: Option<Error>,
    },
    /// The instance is registered, and the node is ours.
    Registered {
        /// Where its node is.
        path: String,
        /// The session that owns the node.
        session: SessionId,
    },
    /// A newer process with the same id has taken its place. This is for good.
    Replaced,
    /// It was withdrawn, or the keeper of the sessions was closed. This is for good.
    Withdrawn,
}

impl Registration {
    pub(crate) fn new(
        id: InstanceId,
        data: NodeData,
        layout: Arc<dyn Layout>,
        presence: Presence,
        path: String,
    ) -> Self {
        Self { id, data: Mutex::new(data), layout, presence, status: OnceLock::new(), path }
    }

    /// Under which id it was announced.
    pub fn id(&self) -> &InstanceId {
        &self.id
    }

    /// Where its node is, or will be.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What was last said about it, written already or not.
    pub fn data(&self) -> NodeData {
        self.data.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the instance is known to be registered. Bound it: without ZooKeeper this waits.
    ///
    /// # Errors
    ///
    /// [`Error::Replaced`] when a newer process has taken its place, [`Error::Withdrawn`] when the keeper was closed.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn registered(&self) -> Result<(), Error> {
        let mut status = self.presence.status();
        let open = |status: &zk_session::Status| matches!(Status::from(status), Status::Registering { .. });
        let reached = status.wait_for(|status| !open(status)).await;
        match reached.as_deref() {
            Ok(zk_session::Status::Held(_)) => Ok(()),
            Ok(zk_session::Status::Replaced) => Err(Error::Replaced),
            Ok(_) | Err(_) => Err(Error::Withdrawn),
        }
    }

    /// How it stands, and every change of that (fast ones may be skipped). Outlives the registration.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.get_or_init(|| translated(self.presence.status())).clone()
    }

    /// Changes what is said about the instance; it stays registered, under the same id and path. The latest wins, also
    /// when there is no connection now. `registered_at` stays as it is.
    ///
    /// `change` must not use this registration.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when the data is not valid, is too large, or cannot be stored in this layout; nothing is
    /// changed then. [`Error::Replaced`] and [`Error::Withdrawn`] when there is nothing to change any more.
    pub fn update(&self, change: impl FnOnce(&mut NodeData)) -> Result<(), Error> {
        self.write(|data| {
            let registered_at = data.registered_at;
            change(data);
            data.registered_at = registered_at;
        })
    }

    /// Says of the instance what another process says that has its id from now on. It stays registered, and was first registered when that
    /// one says, or now.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update).
    pub fn hand_over(&self, mut data: NodeData) -> Result<(), Error> {
        if data.registered_at == 0 {
            data.registered_at = unix_millis();
        }
        self.write(|before| *before = data)
    }

    fn write(&self, change: impl FnOnce(&mut NodeData)) -> Result<(), Error> {
        match *self.presence.status().borrow() {
            zk_session::Status::Replaced => return Err(Error::Replaced),
            zk_session::Status::Gone => return Err(Error::Withdrawn),
            _ => {}
        }
        // Held until the data is handed on, so that the latest here is the latest there.
        let mut data = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = data.clone();
        change(&mut changed);
        let node = self.layout.node(&self.id, &changed)?;
        if changed != *data {
            self.presence.update(node.value)?;
            *data = changed;
        }
        Ok(())
    }

    /// Changes the weight.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update).
    pub fn set_weight(&self, weight: u32) -> Result<(), Error> {
        self.update(|data| data.weight = weight)
    }

    /// Sets the weight to 0: the instance stays registered, and no balancer picks it any more. The weight before is
    /// not remembered; [`set_weight`](Self::set_weight) ends it.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update).
    pub fn drain(&self) -> Result<(), Error> {
        self.set_weight(0)
    }

    /// Takes the instance away and waits until its node is gone, or until the keeper is closed.
    ///
    /// It does not come back in any case. Without a connection this waits for one: bound it.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the withdrawal goes on in the background.
    pub async fn withdraw(self) {
        self.presence.withdraw().await;
    }
}

/// In a task of its own, which only those who ask pay for. It ends with the presence, whose last word it passes on.
fn translated(mut status: watch::Receiver<zk_session::Status>) -> watch::Receiver<Status> {
    let (told, telling) = watch::channel(Status::from(&*status.borrow_and_update()));
    tokio::spawn(async move {
        while status.changed().await.is_ok() {
            let now = Status::from(&*status.borrow_and_update());
            told.send_replace(now);
        }
    });
    telling
}

impl From<&zk_session::Status> for Status {
    fn from(status: &zk_session::Status) -> Self {
        match status {
            zk_session::Status::Pending { problem } => {
                Self::Registering { problem: problem.clone().map(Error::ZooKeeper) }
            }
            // No name of an instance is contended.
            zk_session::Status::Missing | zk_session::Status::Taken { .. } => {
                Self::Registering { problem: None }
            }
            // What is listed is not what was announced.
            zk_session::Status::Held(zk_session::Held { problem: Some(refusal), .. }) => {
                Self::Registering { problem: Some(Error::ZooKeeper(refusal.clone())) }
            }
            zk_session::Status::Held(held) => {
                Self::Registered { path: held.path.clone(), session: held.session() }
            }
            zk_session::Status::Replaced => Self::Replaced,
            zk_session::Status::Gone => Self::Withdrawn,
        }
    }
}
