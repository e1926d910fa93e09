//! How a process is registered: it announces itself, or its place in the election is what others find it by.

use std::sync::Arc;

use leader::OwnNode;
use proto::{InstanceId, NodeData, ServiceName};
use registry::{Registration, Status};
use tokio::sync::watch;
use tracing::warn;
use zk_session::Keeper;

use crate::candidate::{self, Candidate};
use crate::connection::Connection;
use crate::withdrawal::Withdrawal;

/// A process that is registered, and stands for election if it wants to; in the master/normal layout these are one thing.
#[derive(Debug)]
pub(crate) struct Registered {
    announced: Option<(Registration, watch::Receiver<Status>)>,
    candidate: Option<Candidate>,
    is_told: bool,
}

/// Something that happened to it.
#[derive(Debug)]
pub(crate) enum News {
    /// It is registered, or something happened in the election.
    Told(candidate::News),
    /// A newer process has taken its id. It is not registered any more.
    Replaced,
}

impl Registered {
    /// Registers; returns at once.
    ///
    /// `campaign`: stands for election as well, if that is possible: otherwise it says why not and registers all the same. Where
    /// one is registered by standing for election that is not asked.
    pub(crate) fn start(
        connection: &Connection,
        keeper: &Keeper,
        service: &ServiceName,
        id: InstanceId,
        data: NodeData,
        campaign: bool,
    ) -> anyhow::Result<Self> {
        let stand =
            |id, data| anyhow::Ok(connection.election(keeper.sessions()).campaign_as(service, id, data)?);
        if connection.registers_by_election() {
            let candidate = Some(Candidate::registered_by(stand(id, data)?));
            return Ok(Self { announced: None, candidate, is_told: false });
        }
        let registry = connection.registry(keeper.sessions());
        let registration = registry.announce_as(service, id.clone(), data.clone())?;
        let mut status = registration.status();
        status.mark_changed();
        let stands = || connection.can_lead().map_err(Into::into).and_then(|()| stand(id, data));
        let candidate = match (campaign && connection.has_elections().is_ok()).then(stands) {
            Some(Err(why)) => {
                warn!(why = format!("{why:#}"), "it serves, and does not stand for election");
                None
            }
            Some(Ok(candidacy)) => Some(Candidate::new(candidacy)),
            None => None,
        };
        Ok(Self { announced: Some((registration, status)), candidate, is_told: false })
    }

    /// The next thing that happens.
    ///
    /// # Cancel safety
    ///
    /// Nothing is missed when this is dropped before it is ready.
    pub(crate) async fn news(&mut self) -> News {
        let news = self.next_news().await;
        self.is_told = match &news {
            News::Told(candidate::News::Registered(_)) => true,
            News::Replaced => false,
            // Without a place in the election nothing of it is left.
            News::Told(candidate::News::Refused(_)) => self.is_told && self.announced.is_some(),
            News::Told(_) => self.is_told,
        };
        news
    }

    /// Whether it was told that it is registered, and not since that it is no more: then its end is news, too.
    pub(crate) fn is_told(&self) -> bool {
        self.is_told
    }

    /// Stands for election no more, and gives the leadership that was told, for its end to be told as well. What is left of it in
    /// ZooKeeper goes in the background.
    pub(crate) fn resign(&mut self) -> Option<(leader::Term, leader::Lost)> {
        self.candidate.take()?.resign().0
    }

    /// Leads no more, before this returns, and withdraws. Gives the leadership that was told, and what is to be waited for: all of
    /// it, first the place in the election.
    pub(crate) fn leave(self) -> (Option<(leader::Term, leader::Lost)>, Vec<Withdrawal>) {
        let (ended, resignation) = self.candidate.map(Candidate::resign).unzip();
        let registration = self.announced.map(|(registration, _)| Withdrawal::start(registration.withdraw()));
        (ended.flatten(), resignation.into_iter().chain(registration).collect())
    }

    async fn next_news(&mut self) -> News {
        loop {
            tokio::select! {
                status = next(self.announced.as_mut().map(|(_, status)| status)) => match status {
                    Status::Registered { path, session } => {
                        let node = Arc::new(OwnNode { path, session });
                        return News::Told(candidate::News::Registered(node));
                    }
                    Status::Replaced => return News::Replaced,
                    Status::Registering { .. } | Status::Withdrawn => {}
                },
                news = election(&mut self.candidate) => return News::Told(news),
            }
        }
    }
}

/// The next value of a channel, if there is one and it goes on.
async fn next<T: Clone>(channel: Option<&mut watch::Receiver<T>>) -> T {
    if let Some(channel) = channel
        && channel.changed().await.is_ok()
    {
        return channel.borrow_and_update().clone();
    }
    std::future::pending().await
}

/// What happens to the candidate, if there is one.
async fn election(candidate: &mut Option<Candidate>) -> candidate::News {
    match candidate {
        Some(candidate) => candidate.news().await,
        None => std::future::pending().await,
    }
}
