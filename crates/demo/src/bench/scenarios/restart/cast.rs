//! Who registers, follows and leads while something breaks, and how many lists were seen meanwhile.

use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::future::try_join_all;
use leader::{Candidacy, Election, Leadership};
use proto::ServiceName;
use registry::{Discovery, Instances, Registration};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::bench::scenarios::lists::is_live;
use crate::bench::stage::{Ours, Stage, instances, registered};

/// The session timeout. A server that was restarted gives all of it again.
const KEPT: Duration = Duration::from_secs(20);

/// Three processes, as far as ZooKeeper can tell.
pub(super) struct Cast {
    registers: Ours,
    registrations: Vec<Registration>,
    follows: Ours,
    pub(super) discovery: Discovery,
    leads: Ours,
    candidacy: Candidacy,
    pub(super) leadership: Leadership,
}

impl Cast {
    pub(super) async fn start(
        stage: &Stage,
        connect: &str,
        service: &ServiceName,
        count: u32,
    ) -> anyhow::Result<Self> {
        let start = || stage.start_for(connect, KEPT);
        let (registers, follows, leads) = (start()?, start()?, start()?);
        let data = instances(count)?;
        let candidate = data.first().context("there are no instances")?.clone();
        let election = Election::new(leads.registry.sessions().clone(), stage.root().clone());
        let candidacy = election.campaign(service, candidate)?;
        let leadership = candidacy.elected().await?;
        let registrations = registers.registry.announce_all(service, data)?;
        registered(&registrations).await?;
        let discovery = follows.registry.follow(service);
        let mut lists = discovery.instances();
        lists.wait_for(|list| list.as_ref().is_some_and(|list| list.len() == registrations.len())).await?;
        let cast = Self { registers, registrations, follows, discovery, leads, candidacy, leadership };
        cast.is_live().await?;
        Ok(cast)
    }

    fn all(&self) -> [&Ours; 3] {
        [&self.registers, &self.follows, &self.leads]
    }

    /// Lets a fault happen and waits until every session has lost its connection by it.
    pub(super) async fn cut_off(
        &self,
        strike: impl AsyncFnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let links = try_join_all(self.all().map(Ours::link)).await?;
        strike().await?;
        for link in links {
            link.ended().await;
        }
        Ok(())
    }

    /// Waits until all are connected, registered and followed, and somebody leads.
    pub(super) async fn is_live(&self) -> anyhow::Result<()> {
        try_join_all(self.all().map(Ours::link)).await?;
        is_live(&self.discovery, self.registrations.len()).await?;
        registered(&self.registrations).await?;
        self.candidacy.elected().await?;
        Ok(())
    }

    pub(super) async fn end(self, stage: &Stage, service: &ServiceName) -> anyhow::Result<()> {
        let client = stage.raw().await?;
        for ours in [self.registers, self.follows, self.leads] {
            ours.close().await;
        }
        drop((self.registrations, self.discovery, self.candidacy));
        let left = client.list_children(&stage.directory(service)).await?.len();
        if left > 0 {
            bail!("{left} nodes outlive their session");
        }
        Ok(())
    }
}

/// Counts the lists that somebody meets who follows.
pub(super) struct Counted {
    counting: JoinHandle<u64>,
    stop: tokio::sync::oneshot::Sender<()>,
}

impl Counted {
    pub(super) fn start(mut lists: watch::Receiver<Option<Instances>>) -> Self {
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        lists.mark_unchanged();
        let counting = tokio::spawn(async move {
            let mut count = 0;
            loop {
                tokio::select! {
                    biased;
                    changed = lists.changed() => match changed {
                        Ok(()) => {
                            lists.mark_unchanged();
                            count += 1;
                        }
                        Err(_) => return count,
                    },
                    _ = &mut stopped => return count,
                }
            }
        });
        Self { counting, stop }
    }

    pub(super) async fn stop(self) -> anyhow::Result<u64> {
        // Who counts may have ended.
        let _ = self.stop.send(());
        Ok(self.counting.await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_lists_that_somebody_meets_are_counted() {
        let (lists, followed) = watch::channel(None);
        let counted = Counted::start(followed);
        lists.send_replace(None);
        assert_eq!(counted.stop().await.unwrap(), 1);
    }
}
