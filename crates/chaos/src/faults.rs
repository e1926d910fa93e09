//! Breaks one thing for a while, and mends it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::Signal;
use tokio::sync::MutexGuard;
use tokio::time::{Instant, sleep};
use zk_local::{Direction, Ensemble};
use zk_session::{Connect, Error, Kind as NodeKind, Op, Session, ZooKeeper};

use crate::fleet::{Fleet, Process};
use crate::history::{Command, What};
use crate::plan::{Kind, Planned, SESSION, TICK, Target};
use crate::recorder::{Now, Recorder};
use crate::who::{Role, Who};

/// How long servers that somebody else breaks are waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// All that can be broken.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) ensemble: Ensemble,
    pub(crate) fleet: Fleet,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) instances: String,
    pub(crate) elections: String,
}

impl World {
    /// Causes a fault, and returns when it is over. `id` is its own.
    pub(crate) async fn cause(&self, id: u32, fault: &Planned) -> anyhow::Result<()> {
        let Planned { kind, on, lasts, after } = fault;
        sleep(*after).await;
        match (kind, on) {
            (Kind::BadNode, _) => self.write_nonsense(id, *lasts).await?,
            (_, Target::Nobody | Target::Server(_)) => {
                self.break_servers(id, *kind, on, *lasts).await?;
                self.ensemble.start_again().await?;
            }
            (_, Target::Leader) => {
                let leader = self.recorder.look(Now::leader);
                let leader = leader.unwrap_or(Who { role: Role::Candidate, number: 1 });
                self.break_processes(id, *kind, &[leader], *lasts).await?;
            }
            (_, Target::These(whose)) => self.break_processes(id, *kind, whose, *lasts).await?,
        }
        self.recorder.note(What::Over { id });
        Ok(())
    }

    /// Mends all that can be broken, whatever is, after the causes of it were stopped half way.
    pub(crate) async fn mend(&self) -> anyhow::Result<()> {
        for server in 0..self.ensemble.servers().len() {
            self.ensemble.server(server).resume()?;
            self.ensemble.rejoin(server)?;
        }
        // One that was being ended when that was broken off is there for a moment still, and then not.
        let mut serve = self.ensemble.start_again().await;
        for _ in 0..3 {
            if serve.is_err() {
                serve = self.ensemble.start_again().await;
            }
        }
        serve?;
        for mut process in self.fleet.hold(&Who::all().collect::<Vec<_>>()).await {
            process.signal(Signal::CONT).await;
            process.heal();
            if !process.is_running() {
                process.start()?;
            }
        }
        Ok(())
    }

    fn begins(&self, id: u32, kind: Kind, on: impl IntoIterator<Item = String>) {
        self.recorder.note(What::Fault { id, kind, on: on.into_iter().collect() });
    }

    async fn break_servers(&self, id: u32, kind: Kind, on: &Target, lasts: Duration) -> anyhow::Result<()> {
        let all = 0..self.ensemble.servers().len();
        let name = |server: usize| format!("server {}", server + 1);
        match (kind, on) {
            (Kind::ServerKilled, &Target::Server(server)) => {
                self.begins(id, kind, [name(server)]);
                self.ensemble.server(server).kill().await?;
                sleep(lasts).await;
            }
            (Kind::ServerIsolated, &Target::Server(server)) => {
                self.begins(id, kind, [name(server)]);
                self.ensemble.isolate(server)?;
                sleep(lasts).await;
                self.ensemble.rejoin(server)?;
            }
            (Kind::ServerPaused, _) => {
                let leader = self.ensemble.leader().await?;
                self.begins(id, kind, [name(leader)]);
                self.ensemble.server(leader).pause().await?;
                sleep(lasts).await;
                self.ensemble.server(leader).resume()?;
            }
            (Kind::RollingRestart, _) => {
                self.begins(id, kind, all.clone().map(name));
                for server in all {
                    self.ensemble.server(server).stop().await?;
                    sleep(lasts).await;
                    self.ensemble.server(server).start_again().await?;
                }
            }
            (other, on) if other != Kind::Outage => bail!("{other} does not happen to {on:?}"),
            (_, _) => {
                self.begins(id, kind, all.clone().map(name));
                for server in all {
                    self.ensemble.server(server).kill().await?;
                }
                sleep(lasts).await;
            }
        }
        Ok(())
    }

    async fn break_processes(
        &self,
        id: u32,
        kind: Kind,
        whose: &[Who],
        lasts: Duration,
    ) -> anyhow::Result<()> {
        let mut held = self.fleet.hold(whose).await;
        let ways =
            |held: &[MutexGuard<'_, Process>], work: fn(&Process)| held.iter().for_each(|one| work(one));
        if kind == Kind::NodeDeleted {
            return self.delete_nodes(id, whose).await;
        }
        self.begins(id, kind, whose.iter().map(Who::to_string));
        match kind {
            Kind::Pause => {
                for process in &held {
                    process.signal(Signal::STOP).await;
                }
                sleep(lasts).await;
                for process in &held {
                    process.signal(Signal::CONT).await;
                }
            }
            Kind::Flaps => {
                let end = Instant::now() + lasts;
                while Instant::now() < end {
                    ways(&held, Process::cut);
                    sleep(lasts / 6).await;
                }
            }
            Kind::Stall | Kind::StallToServer | Kind::StallToClient => {
                let direction = match kind {
                    Kind::StallToServer => Direction::ToServer,
                    Kind::StallToClient => Direction::ToClient,
                    _ => Direction::Both,
                };
                held.iter().for_each(|process| process.stall(direction));
                sleep(lasts).await;
            }
            Kind::Kill => {
                for process in &mut held {
                    process.kill().await;
                }
                sleep(lasts).await;
                for process in &mut held {
                    process.start()?;
                }
            }
            Kind::Quit => {
                for process in &mut held {
                    process.quit(id.is_multiple_of(2)).await;
                }
                sleep(lasts).await;
                for process in &mut held {
                    process.start()?;
                }
            }
            Kind::LostReplies => {
                for process in &mut held {
                    process.kill().await;
                    process.lose_replies();
                    process.start()?;
                }
                // The first request is rarely the one that matters.
                for _ in 0..8 {
                    sleep(lasts / 8).await;
                    ways(&held, Process::lose_replies);
                }
            }
            Kind::Update => {
                ways(&held, |process| process.cut_off(true));
                for process in &mut held {
                    process.update().await;
                }
                sleep(lasts).await;
            }
            Kind::Deregister => {
                ways(&held, |process| process.cut_off(true));
                for process in &mut held {
                    process.tell(Command::Deregister).await;
                }
                sleep(lasts).await;
                ways(&held, Process::heal);
                for process in &mut held {
                    let who = process.who();
                    self.recorder.wait_for(PATIENCE, |now| now.is_deregistered(who)).await;
                }
                // Some end at once, some after every session of before is over.
                if !id.is_multiple_of(2) {
                    sleep(SESSION + 2 * TICK).await;
                }
                for process in &mut held {
                    process.quit(id.is_multiple_of(2)).await;
                    process.start()?;
                }
            }
            Kind::Blip | Kind::Cut | Kind::Expire => {
                ways(&held, |process| process.cut_off(true));
                sleep(lasts).await;
            }
            other => bail!("{other} is no fault of a process"),
        }
        ways(&held, Process::heal);
        Ok(())
    }

    async fn delete_nodes(&self, id: u32, whose: &[Who]) -> anyhow::Result<()> {
        let (zookeeper, session) = self.connect().await?;
        self.begins(id, Kind::NodeDeleted, whose.iter().map(Who::to_string));
        for who in whose {
            // A node that is not there, or a server that goes away meanwhile, is as good as any other fault.
            let _ = self.delete_node(&*session, *who).await;
        }
        zookeeper.close().await;
        Ok(())
    }

    async fn delete_node(&self, session: &dyn Session, who: Who) -> Result<(), Error> {
        if who.role == Role::Instance {
            return session.delete(&proto::path::join(&self.instances, &who.to_string()), None).await;
        }
        for name in session.children(&self.elections).await? {
            if proto::path::split_candidate(&name).is_some_and(|(id, _)| id == who.to_string()) {
                session.delete(&proto::path::join(&self.elections, &name), None).await?;
            }
        }
        Ok(())
    }

    /// Writes what is no node data beside the instances, for a while.
    async fn write_nonsense(&self, id: u32, lasts: Duration) -> anyhow::Result<()> {
        let path = proto::path::join(&self.instances, &format!("bad-{id}"));
        self.begins(id, Kind::BadNode, [path.clone()]);
        let data = b"\xffnonsense".to_vec();
        self.insist(&Op::Create { path: path.clone(), data, kind: NodeKind::Persistent }).await?;
        sleep(lasts).await;
        self.insist(&Op::Delete { path, version: None }).await
    }

    /// Asks until the servers have done it. It may have been done when nobody heard of it.
    async fn insist(&self, op: &Op) -> anyhow::Result<()> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let (zookeeper, session) = self.connect().await?;
            let done = session.commit(std::slice::from_ref(op)).await;
            zookeeper.close().await;
            match done {
                // Nothing to do any more: an earlier answer was lost.
                Ok(()) | Err(Error::Aborted { .. }) => return Ok(()),
                Err(error) if Instant::now() > give_up => {
                    return Err(error).context("the servers do not do it");
                }
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// A session of our own, past all proxies.
    async fn connect(&self) -> anyhow::Result<(ZooKeeper, Arc<dyn Session>)> {
        let give_up = Instant::now() + PATIENCE;
        let zookeeper = ZooKeeper::builder(&self.ensemble.connect_string()).build()?;
        loop {
            match zookeeper.connect().await {
                Ok(session) => return Ok((zookeeper, session)),
                Err(error) if Instant::now() > give_up => return Err(error).context("no server serves"),
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }
}
