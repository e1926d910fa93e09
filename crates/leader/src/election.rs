//! The way in: stands for election, follows and asks who leads.

use std::sync::{Arc, Mutex};

use proto::{InstanceId, NodeData, Root, ServiceName};
use tokio::sync::watch;
use zk_session::{Presence, Sessions, Spec, State};

use crate::campaign::Campaign;
use crate::candidacy::{Candidacy, Status};
use crate::master::{Listed, Master};
use crate::seat::Seat;
use crate::standing_by::StandingBy;
use crate::{Error, LEAST_TIMEOUT, Layout, Observer};

/// Elections among the processes of a service, on the sessions of one [`Keeper`](zk_session::Keeper).
///
/// A clone is cheap. Where the candidates of a service are is a [`Layout`].
///
/// # Examples
///
/// ```
/// use leader::{Election, NodeData, Root, ServiceName};
/// use zk_session::{Keeper, fake::FakeZk};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keeper = Keeper::start(FakeZk::default().client()); // or ZooKeeper::builder("zk1:2181").build()?
/// let election = Election::new(keeper.sessions(), Root::default());
/// let candidacy = election.campaign(&ServiceName::parse("time")?, NodeData::at("10.0.0.7:8897".parse()?))?;
/// let leadership = candidacy.elected().await?;
/// assert!(leadership.holds()); // to be asked right before every act
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Election {
    sessions: Sessions,
    layout: Layout,
}

impl Election {
    /// Elections in our own layout, with their nodes below `root`.
    pub fn new(sessions: Sessions, root: Root) -> Self {
        Self::with_layout(sessions, Layout::Native { root })
    }

    /// Elections with their nodes where `layout` says.
    pub fn with_layout(sessions: Sessions, layout: Layout) -> Self {
        Self { sessions, layout }
    }

    /// Stands for election among the processes of `service`, under the [default id](NodeData::default_id) of `data`.
    ///
    /// Returns at once, and joins the line as soon as that is possible. To wait, see [`Candidacy::elected`].
    ///
    /// # Errors
    ///
    /// As [`campaign_as`](Self::campaign_as), and when there is no default id.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn campaign(&self, service: &ServiceName, data: NodeData) -> Result<Candidacy, Error> {
        let id = data.default_id().map_err(Error::invalid)?;
        self.campaign_as(service, id, data)
    }

    /// Stands for election under an id of your own. Others may have the same one: each has its own place in the line.
    ///
    /// # Errors
    ///
    /// Before anything is sent: [`Error::Invalid`] when the data is not valid, takes more than 64 KiB or cannot be stored in this
    /// layout, and when this id, in the master/normal layout anybody of this service, stands for election on these sessions already; [`Error::SessionTooShort`] when the session is known to be too short for a lease.
    /// Where that is found out later, [`Candidacy::elected`] and [`Candidacy::status`] tell, and our place is given up.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn campaign_as(
        &self,
        service: &ServiceName,
        id: InstanceId,
        data: NodeData,
    ) -> Result<Candidacy, Error> {
        if let State::Connected { timeout: granted, .. } = *self.sessions.state().borrow()
            && granted < LEAST_TIMEOUT
        {
            return Err(Error::SessionTooShort { granted, least: LEAST_TIMEOUT });
        }
        let value = self.layout.encode(&data).map_err(Error::invalid)?;
        let directory = self.layout.directory(service);
        let spec = |name| Spec {
            directory: directory.clone(),
            name,
            data: value.clone(),
            parents: self.layout.parents(),
        };
        let presence = Arc::new(Presence::hold(self.sessions.clone(), spec(self.layout.candidate(&id)))?);
        let status = watch::Sender::new(Status::Joining { problem: None });
        let seat = Arc::new(Seat::default());
        let wanted = watch::Sender::new(Some(value.clone()));
        let (found_tx, found) = watch::channel(None);
        let standing_by = StandingBy {
            sessions: self.sessions.clone(),
            spec: self.layout.stand_by().map(spec),
            first: presence.status(),
            wanted: wanted.subscribe(),
            found: found_tx,
        };
        let campaign = Campaign {
            sessions: self.sessions.clone(),
            layout: self.layout.clone(),
            directory,
            lease: self.sessions.lease(),
            status: status.clone(),
            seat: seat.clone(),
        };
        tokio::spawn(standing_by.run());
        tokio::spawn(campaign.run(presence.clone()));
        let layout = self.layout.clone();
        Ok(Candidacy { id, data: Mutex::new(data), layout, presence, wanted, found, status, seat })
    }

    /// Follows who leads `service`. Returns at once; nobody needs to stand for election.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn observe(&self, service: &ServiceName) -> Observer {
        Observer::start(self.sessions.clone(), self.layout.clone(), self.layout.directory(service))
    }

    /// Who leads `service` now; `None` when nobody stands for election. For a single question: two or three requests.
    /// Who asks again and again should [observe](Self::observe).
    ///
    /// While no server can be reached this waits for one: bound it.
    ///
    /// # Errors
    ///
    /// [`Error::ZooKeeper`] when the server refuses, [`Error::Over`] when the keeper was closed.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn master(&self, service: &ServiceName) -> Result<Option<Master>, Error> {
        let (layout, directory) = (&self.layout, &self.layout.directory(service));
        let asked = self.sessions.each(|link| async move {
            let ask = async {
                link.sync(directory).await?;
                Listed::of(&link, layout, directory).await?.master(&link, directory).await
            };
            match ask.await {
                Err(error @ zk_session::Error::Interrupted) => Err(error),
                // Asking again would not change what was refused.
                answer => Ok(answer),
            }
        });
        Ok(asked.await.ok_or(Error::Over)??)
    }
}
