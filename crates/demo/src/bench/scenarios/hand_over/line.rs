//! Who stands for election, and how whoever leads goes and comes back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use leader::{Candidacy, Election, Leadership, Status};
use proto::{NodeData, ServiceName};
use tokio::time::{Instant, sleep, timeout};

use crate::bench::outside::expiring::expire;
use crate::bench::relay::{Counts, Relay};
use crate::bench::scenarios::time::millis;
use crate::bench::stage::{Ours, Stage};

/// How long any hand-over, and any way into the line, may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// So long nothing is done after a hand-over that is counted: what else it makes candidates ask is asked by then.
const QUIET: Duration = Duration::from_millis(50);

/// How a leader goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Going {
    Resigns,
    Closes,
    Expires,
}

impl Going {
    pub(super) const ALL: [Self; 3] = [Self::Resigns, Self::Closes, Self::Expires];
}

/// Candidates in the order in which they will lead.
pub(super) struct Line<'a> {
    stage: &'a Stage,
    service: ServiceName,
    are_counted: bool,
    candidates: VecDeque<Candidate>,
}

struct Candidate {
    process: Process,
    candidacy: Candidacy,
}

/// What a candidate is, as far as ZooKeeper can tell.
struct Process {
    ours: Ours,
    data: NodeData,
    /// Its way to the server, where it is counted what it asks.
    relay: Option<Relay>,
}

/// A hand-over, in milliseconds.
pub(super) struct HandOver {
    pub(super) took: f64,
    /// From when a watcher was told of the deletion.
    pub(super) seen: Option<f64>,
    gone: Gone,
}

/// Who led before, and how it comes back.
enum Gone {
    /// It campaigns again.
    Resigned(Process),
    /// It needs another session for that.
    Closed(NodeData),
    /// It stands again by itself.
    Expired(Box<Candidate>),
}

impl<'a> Line<'a> {
    /// A line of such candidates. Where they are counted each reaches the server by a relay of its own, which takes time.
    pub(super) async fn form(
        stage: &'a Stage,
        service: ServiceName,
        all: Vec<NodeData>,
        are_counted: bool,
    ) -> anyhow::Result<Self> {
        let mut line = Self { stage, service, are_counted, candidates: VecDeque::new() };
        for data in all {
            let process = line.process(data).await?;
            line.join(process).await?;
        }
        Ok(line)
    }

    async fn process(&self, data: NodeData) -> anyhow::Result<Process> {
        if !self.are_counted {
            return Ok(Process { ours: self.stage.ours().await?, data, relay: None });
        }
        let server = self.stage.own_server().context("candidates are counted at a server of our own")?;
        let relay = Relay::start(server.address()).await?;
        let ours = self.stage.start_at(&relay.connect_string())?;
        ours.link().await?;
        Ok(Process { ours, data, relay: Some(relay) })
    }

    /// Joins the end of the line, and waits until it stands there.
    async fn join(&mut self, process: Process) -> anyhow::Result<()> {
        let election = Election::new(process.ours.registry.sessions().clone(), self.stage.root().clone());
        let candidacy = election.campaign(&self.service, process.data.clone())?;
        timeout(PATIENCE, stands(&candidacy)).await.context("a candidate does not get into the line")??;
        self.candidates.push_back(Candidate { process, candidacy });
        Ok(())
    }

    /// The one that leads goes, and the next one leads.
    pub(super) async fn hand_over(&mut self, going: Going) -> anyhow::Result<HandOver> {
        let ended = timeout(PATIENCE, self.go(going)).await;
        ended.with_context(|| format!("nobody leads {PATIENCE:?} after the leader went ({going:?})"))?
    }

    async fn go(&mut self, going: Going) -> anyhow::Result<HandOver> {
        let Candidate { process, candidacy } =
            self.candidates.pop_front().context("nobody is in the line")?;
        let before = candidacy.elected().await?;
        let next = &self.candidates.front().context("nobody is next")?.candidacy;
        let start = Instant::now();
        let next = async { anyhow::Ok((next.elected().await?, start.elapsed())) };
        let (seen, gone, (leadership, took)) = match going {
            Going::Resigns => {
                let leave = async {
                    candidacy.resign().await;
                    Ok(())
                };
                let ((), next) = tokio::try_join!(leave, next)?;
                (None, Gone::Resigned(process), next)
            }
            Going::Closes => {
                let Process { ours, data, relay } = process;
                let leave = async {
                    ours.close().await;
                    Ok(())
                };
                let ((), next) = tokio::try_join!(leave, next)?;
                drop(relay);
                (None, Gone::Closed(data), next)
            }
            Going::Expires => {
                let server = self.stage.own_server().context("a server of our own is needed")?.address();
                let (_, deleted) = self.stage.witness.check_and_watch_stat(before.path()).await?;
                let told = async {
                    deleted.changed().await;
                    Ok(start.elapsed())
                };
                let ((), told, next) = tokio::try_join!(expire(server, before.session()), told, next)?;
                let seen = millis(next.1) - millis(told);
                (Some(seen), Gone::Expired(Box::new(Candidate { process, candidacy })), next)
            }
        };
        must_follow(&before, &leadership)?;
        Ok(HandOver { took: millis(took), seen, gone })
    }

    /// The same, and how many requests all candidates made for it; of one whose session was ended those count that the others
    /// made, for it only comes back.
    pub(super) async fn counted_hand_over(&mut self, going: Going) -> anyhow::Result<(HandOver, u64)> {
        let counts: Vec<_> = self.counts().skip(usize::from(going == Going::Expires)).collect();
        let asked = || counts.iter().map(|counts| counts.purposeful()).sum::<u64>();
        let before = asked();
        let hand_over = self.hand_over(going).await?;
        sleep(QUIET).await;
        Ok((hand_over, asked() - before))
    }

    /// How often candidates ask in that time whether their sessions live, all together.
    pub(super) async fn asks_whether_alive(&self, time: Duration) -> u64 {
        let counts: Vec<_> = self.counts().collect();
        let asked = || counts.iter().map(|counts| counts.alive()).sum::<u64>();
        let before = asked();
        sleep(time).await;
        asked() - before
    }

    fn counts(&self) -> impl Iterator<Item = Arc<Counts>> {
        let relays = self.candidates.iter().filter_map(|candidate| candidate.process.relay.as_ref());
        relays.map(|relay| relay.counts().clone())
    }

    /// Who went stands at the end of the line again.
    pub(super) async fn stand_again(&mut self, HandOver { gone, .. }: HandOver) -> anyhow::Result<()> {
        match gone {
            Gone::Resigned(process) => self.join(process).await,
            Gone::Closed(data) => {
                let process = self.process(data).await?;
                self.join(process).await
            }
            Gone::Expired(candidate) => {
                let mut status = candidate.candidacy.status();
                let waits = status.wait_for(|status| matches!(status, Status::Waiting { .. }));
                timeout(PATIENCE, waits).await.context("who lost its session does not stand again")??;
                self.candidates.push_back(*candidate);
                Ok(())
            }
        }
    }

    pub(super) async fn end(self) {
        for candidate in self.candidates {
            candidate.process.ours.close().await;
        }
    }
}

async fn stands(candidacy: &Candidacy) -> anyhow::Result<()> {
    let mut status = candidacy.status();
    let stands = |status: &Status| matches!(status, Status::Waiting { .. } | Status::Leading(_));
    status.wait_for(stands).await.context("a candidacy ended")?;
    Ok(())
}

/// Refuses a hand-over that was none.
fn must_follow(before: &Leadership, after: &Leadership) -> anyhow::Result<()> {
    if after.term() <= before.term() {
        bail!("term {} follows term {}", after.term(), before.term());
    }
    Ok(())
}
