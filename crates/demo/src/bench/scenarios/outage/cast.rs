//! Who registers and follows while all of them, or all but one, are cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use futures::future::try_join_all;
use proto::ServiceName;
use registry::{Discovery, Registration, Status};
use tokio::time::timeout;

use super::PATIENCE;
use crate::bench::scenarios::lists::{is_live, is_whole, shows};
use crate::bench::stage::{Ours, Stage, instances};

/// Sessions that register, as many processes would.
pub(super) const SESSIONS: usize = 10;
/// How long the server waits for them.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);

/// The processes that are cut off, and one that is not.
pub(super) struct Cast {
    pub(super) registering: Vec<Ours>,
    registrations: Vec<Registration>,
    /// Who follows over the first of these sessions.
    inside: Discovery,
    watching: Ours,
    pub(super) outside: Discovery,
}

impl Cast {
    pub(super) async fn start(
        stage: &Stage,
        connect: &str,
        service: &ServiceName,
        count: u32,
    ) -> anyhow::Result<Self> {
        let all = instances(count)?;
        let count = all.len();
        let (mut registering, mut registrations) = (Vec::new(), Vec::new());
        for share in all.chunks(all.len().div_ceil(SESSIONS)) {
            let ours = stage.start_for(connect, TIMEOUT)?;
            registrations.extend(ours.registry.announce_all(service, share.to_vec())?);
            registering.push(ours);
        }
        let watching = stage.ours().await?;
        let outside = watching.registry.follow(service);
        let inside = registering.first().context("nobody registers")?.registry.follow(service);
        let cast = Self { registering, registrations, inside, watching, outside };
        let whole = async {
            tokio::try_join!(is_live(&cast.outside, count), async {
                cast.is_whole(count).await?.context("a registration ended")
            })
        };
        timeout(PATIENCE, whole).await.context("not all are registered")??;
        Ok(cast)
    }

    /// The sessions that register, connected.
    pub(super) async fn sessions(&self) -> anyhow::Result<BTreeSet<i64>> {
        let sessions = timeout(PATIENCE, try_join_all(self.registering.iter().map(Ours::session))).await;
        Ok(sessions.context("not all are connected")??.into_iter().map(|session| session.0).collect())
    }

    /// Waits until all are known to be registered by those who register them, one of whom has a list that is whole; nothing
    /// if one of them was given up.
    pub(super) async fn is_whole(&self, count: usize) -> anyhow::Result<Option<()>> {
        try_join_all(self.registering.iter().map(Ours::link)).await?;
        for registration in &self.registrations {
            if registration.registered().await.is_err() {
                return Ok(None);
            }
        }
        is_live(&self.inside, count).await?;
        Ok(Some(()))
    }

    /// How many registrations are not known to be registered in one of these sessions, and lists not known to be the truth: of so many
    /// instances. A node that is there says nothing of that.
    pub(super) fn unknown(&self, sessions: &BTreeSet<i64>, count: usize) -> usize {
        let registered = |one: &&Registration| match *one.status().borrow() {
            Status::Registered { session, .. } => sessions.contains(&session.0),
            _ => false,
        };
        let lists = [&self.inside, &self.outside];
        let known =
            |list: &&&Discovery| list.view().borrow().as_ref().is_some_and(|view| is_whole(view, count));
        let known = self.registrations.iter().filter(registered).count() + lists.iter().filter(known).count();
        self.registrations.len() + lists.len() - known
    }

    pub(super) async fn nobody_is_seen(&self) -> anyhow::Result<()> {
        let mut lists = self.outside.instances();
        lists.wait_for(|list| list.as_ref().is_some_and(registry::List::is_empty)).await?;
        Ok(())
    }

    /// How many of what is there are not in both lists.
    pub(super) fn missing(&self, there: &BTreeMap<String, i64>) -> usize {
        let lists = [&self.inside, &self.outside].map(|discovery| discovery.instances().borrow().clone());
        let show = |id: &str| lists.iter().all(|list| list.as_ref().is_some_and(|list| shows(list, id)));
        there.keys().filter(|id| !show(id)).count()
    }

    pub(super) async fn end(self) {
        for ours in self.registering.into_iter().chain([self.watching]) {
            ours.close().await;
        }
    }
}
