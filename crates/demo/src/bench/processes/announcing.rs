//! A process that announces instances, over some sessions.

use anyhow::bail;
use proto::ServiceName;
use registry::Registration;

use super::clock::{Work, now_ns};
use super::kept::Kept;
use super::memory::Memory;
use super::part::{Part, begun};
use super::seen::Seen;
use super::words::{Ask, Told};
use crate::bench::stage::{SESSION, long_named, registered};

pub(super) struct Announcing {
    sessions: Kept,
    registrations: Vec<Registration>,
}

impl Announcing {
    pub(super) async fn begin(
        connect: &str,
        service: &str,
        sessions: u32,
        each: u32,
    ) -> anyhow::Result<Self> {
        let service = ServiceName::parse(service)?;
        let sessions = Kept::open(connect, sessions, SESSION).await?;
        let mut registrations = Vec::new();
        for (number, ours) in (0..).zip(sessions.all()) {
            let those = (number * each..(number + 1) * each).map(|number| long_named(number, 1));
            let those = those.collect::<anyhow::Result<Vec<_>>>()?;
            registrations.extend(ours.registry.announce_all(&service, those)?);
        }
        Ok(Self { sessions, registrations })
    }

    async fn registered(&self) -> anyhow::Result<()> {
        registered(&self.registrations).await
    }
}

impl Part for Announcing {
    async fn answer(&mut self, ask: Ask) -> anyhow::Result<Told> {
        let links = self.sessions.links().await?;
        begun()?;
        match ask {
            Ask::Whole { .. } => self.registered().await?,
            Ask::Return => {
                self.sessions.reconnected(&links).await?;
                self.registered().await?;
            }
            Ask::State => {}
            other => bail!("who announces is not asked {other:?}"),
        }
        Ok(Told {
            at: now_ns(),
            memory: Memory::own()?,
            cpu_us: Work::default().micros()?,
            lost: self.sessions.lost(),
            granted_ms: self.sessions.granted_ms()?,
            connections: self.sessions.connections(),
            seen: Seen::default(),
            came: Vec::new(),
        })
    }

    async fn end(self) {
        // The sessions first: registrations that are dropped while those are open are withdrawn, each by a request.
        self.sessions.close().await;
    }
}
