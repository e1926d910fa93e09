//! That this process stands for election.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use proto::{InstanceId, NodeData};
use tokio::sync::watch;
use zk_session::Presence;

use crate::seat::Seat;
use crate::standing_by::Wanted;
use crate::{Error, Layout, Leadership, OwnNode};

/// That this process stands for election: it has a place in the line, and another one whenever that is lost, until it resigns.
///
/// Dropping it resigns in the background.
///
/// ```text
///   Joining ─────► Waiting ─────► First ◄────► Leading
///      ▲              │              │            │
///      └──────────────┴──────────────┴────────────┘ ─────► Over
/// ```
#[must_use = "dropping a candidacy resigns"]
pub struct Candidacy {
    pub(crate) id: InstanceId,
    pub(crate) data: Mutex<NodeData>,
    pub(crate) layout: Layout,
    pub(crate) presence: Arc<Presence>,
    pub(crate) wanted: Wanted,
    pub(crate) found: watch::Receiver<Option<Arc<OwnNode>>>,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) seat: Arc<Seat>,
}

impl fmt::Debug for Candidacy {
    /// Without what is in its nodes, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidacy")
            .field("id", &self.id)
            .field("status", &*self.status.borrow())
            .field("node", &*self.found.borrow())
            .finish_non_exhaustive()
    }
}

/// How a [`Candidacy`] stands.
#[derive(Clone, Debug)]
pub enum Status {
    /// It is not known to have a place in the line: not yet, or not since the connection went.
    Joining {
        /// What an operator would have to know: the last try failed for this reason. That there is no connection is told by
        /// [`Sessions::state`](zk_session::Sessions::state) alone.
        problem: Option<Error>,
    },
    /// Others are ahead.
    Waiting {
        /// The node of the one directly ahead; where there is no line, the master's.
        ahead: String,
    },
    /// Nobody is ahead, but it is not known whether our session lives for long enough to act.
    First {
        /// Why that cannot be found out, if a server refuses.
        problem: Option<Error>,
    },
    /// We lead. Whether that is so still, [`Leadership::holds`] tells.
    Leading(Leadership),
    /// We have resigned, the keeper of the sessions was closed, or we were refused. This is for good.
    Over {
        /// Why we were refused, if we were.
        refused: Option<Error>,
    },
}

impl Candidacy {
    /// Under which id it stands.
    pub fn id(&self) -> &InstanceId {
        &self.id
    }

    /// What was last said about it, written already or not.
    pub fn data(&self) -> NodeData {
        self.data.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How it stands, and every change of that (fast ones may be skipped). Outlives the candidacy.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Where its node is, and every change of that (fast ones may be skipped); `None` while it is not known to have one. In the
    /// master/normal layout this is how it is registered: as the master, or as a normal instance.
    pub fn node(&self) -> watch::Receiver<Option<Arc<OwnNode>>> {
        self.found.clone()
    }

    /// Waits until this process leads.
    ///
    /// # Errors
    ///
    /// [`Error::SessionTooShort`] when ZooKeeper grants sessions that are too short for a lease, [`Error::Over`] when we have
    /// resigned or the keeper was closed.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn elected(&self) -> Result<Leadership, Error> {
        let mut status = self.status.subscribe();
        let settled = status.wait_for(|status| match status {
            Status::Leading(leadership) => leadership.holds(),
            Status::Over { .. } => true,
            Status::Joining { .. } | Status::Waiting { .. } | Status::First { .. } => false,
        });
        match settled.await.as_deref() {
            Ok(Status::Leading(leadership)) => Ok(leadership.clone()),
            Ok(Status::Over { refused: Some(error) }) => Err(error.clone()),
            Ok(_) | Err(_) => Err(Error::Over),
        }
    }

    /// Changes what is said about this candidate. It keeps its place, and a leader its term. The latest wins, also when there is no
    /// connection now. What a server refuses is logged and tried again; the candidate leads when its turn comes all the same.
    ///
    /// `change` must not use this candidacy.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when the data is not valid or too large; nothing is changed then. [`Error::Over`] when there is
    /// nothing to change any more.
    pub fn update(&self, change: impl FnOnce(&mut NodeData)) -> Result<(), Error> {
        if self.seat.is_given_up() || matches!(&*self.status.borrow(), Status::Over { .. }) {
            return Err(Error::Over);
        }
        // Held until the data is handed on, so that the latest here is the latest there.
        let mut data = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = data.clone();
        change(&mut changed);
        let value = self.layout.encode(&changed).map_err(Error::invalid)?;
        if changed != *data {
            // Its size was checked: it is withdrawn.
            self.presence.update(value.clone()).map_err(|_| Error::Over)?;
            self.wanted.send_if_modified(|wanted| {
                let stays = wanted.is_some();
                if stays {
                    *wanted = Some(value);
                }
                stays
            });
            *data = changed;
        }
        Ok(())
    }

    /// Gives up leadership, if we have it, then our place, and waits until our node is gone or the keeper is closed.
    ///
    /// Leadership is over before anything is sent. Without a connection this waits for one: bound it. It is remembered in any
    /// case, and done as soon as that is possible. To stand again, campaign again.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the resignation goes on in the background.
    pub async fn resign(self) {
        self.leave();
        self.presence.gone().await;
        // Its end says that nothing stands by any more.
        self.wanted.closed().await;
    }

    /// At once here, and in ZooKeeper soon.
    fn leave(&self) {
        // In this order: nobody else may lead before we do no more.
        self.seat.give_up();
        self.presence.let_go();
        self.wanted.send_replace(None);
    }
}

impl Drop for Candidacy {
    fn drop(&mut self) {
        self.leave();
    }
}
