//! A process that follows one directory by the bare client, over many sessions.

use std::sync::Arc;

use anyhow::bail;
use futures::future::try_join_all;
use proto::{Root, ServiceName};
use tokio::task::JoinSet;

use super::bare::{Follower, Known};
use super::came::last_of_all;
use super::clock::{Work, now_ns};
use super::memory::Memory;
use super::part::{Part, begun};
use super::seen::Seen;
use super::words::{Ask, Told};
use crate::bench::stage::{ROOT, raw};

pub(super) struct Crowd {
    known: Vec<Arc<Known>>,
    following: JoinSet<anyhow::Result<()>>,
}

impl Crowd {
    pub(super) async fn begin(connect: &str, service: &str, sessions: u32) -> anyhow::Result<Self> {
        let directory = &Root::parse(ROOT)?.instances_dir(&ServiceName::parse(service)?);
        let start =
            (0..sessions).map(|_| async move { Follower::start(raw(connect).await?, directory).await });
        let (mut known, mut following) = (Vec::new(), JoinSet::new());
        for follower in try_join_all(start).await? {
            known.push(follower.known.clone());
            following.spawn(follower.follow());
        }
        Ok(Self { known, following })
    }

    async fn so(known: &[Arc<Known>], ask: Ask) -> anyhow::Result<Vec<u64>> {
        match ask {
            Ask::Whole { len } => {
                for known in known {
                    known.until(|nodes| nodes.len() == len).await?;
                }
            }
            Ask::Shows { id, there } => {
                for known in known {
                    known.until(|nodes| nodes.contains_key(&id) == there).await?;
                }
            }
            Ask::Come { ids } => {
                let ids: Arc<[String]> = ids.into();
                return last_of_all(known.iter().map(|known| come(known.clone(), ids.clone()))).await;
            }
            Ask::State => {}
            other => bail!("many bare clients are not asked {other:?}"),
        }
        Ok(Vec::new())
    }
}

impl Part for Crowd {
    async fn answer(&mut self, ask: Ask) -> anyhow::Result<Told> {
        begun()?;
        let came = tokio::select! {
            // The reason comes before what follows from it.
            biased;
            Some(ended) = self.following.join_next() => {
                ended??;
                bail!("a bare client follows no more");
            }
            came = Self::so(&self.known, ask) => came?,
        };
        Ok(Told {
            at: now_ns(),
            memory: Memory::own()?,
            cpu_us: Work::default().micros()?,
            lost: 0,
            granted_ms: 0,
            connections: self.known.len(),
            seen: Seen::default(),
            came,
        })
    }

    async fn end(mut self) {
        self.following.shutdown().await;
    }
}

/// When each of those was there that come one after the other.
async fn come(known: Arc<Known>, ids: Arc<[String]>) -> anyhow::Result<Vec<u64>> {
    let mut came = Vec::new();
    for id in ids.iter() {
        known.until(|nodes| nodes.contains_key(id)).await?;
        came.push(now_ns());
    }
    Ok(came)
}
