//! The processes that take part.

mod counting;
mod process;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::{MissedTickBehavior, interval};
use zk_local::{Ensemble, Traffic};

pub(crate) use process::Process;

use self::counting::Counting;
use crate::history::{Command, Entry};
use crate::recorder::{Now, Recorder};
use crate::who::{Role, Who};

/// How often the connections of everybody are counted.
const COUNTING: Duration = Duration::from_millis(50);

/// What every process is started with.
#[derive(Debug)]
pub(crate) struct Launch {
    /// The program with the agents.
    pub(crate) demo: PathBuf,
    /// What its candidates are replaced by, if they are.
    pub(crate) broken: Option<PathBuf>,
    pub(crate) service: String,
    pub(crate) ledger: SocketAddr,
    pub(crate) session: Duration,
    pub(crate) recorder: Arc<Recorder>,
}

/// All processes. Whoever does something to one holds it meanwhile.
#[derive(Debug)]
pub(crate) struct Fleet {
    processes: BTreeMap<Who, Mutex<Process>>,
    /// What passes between each of them and the servers.
    traffic: BTreeMap<Who, Vec<watch::Receiver<Traffic>>>,
    recorder: Arc<Recorder>,
}

impl Fleet {
    /// Starts everybody, each with ways of its own to the servers.
    pub(crate) async fn start(ensemble: &Ensemble, launch: Launch) -> anyhow::Result<Self> {
        let recorder = Arc::clone(&launch.recorder);
        let launch = Arc::new(launch);
        let (mut processes, mut traffic) = (BTreeMap::new(), BTreeMap::new());
        for (who, number) in Who::all().zip(0..) {
            let port = (who.role != Role::Watcher).then_some(10_000 + number);
            let mut process = Process::new(who, port, ensemble, Arc::clone(&launch)).await?;
            process.start()?;
            traffic.insert(who, process.traffic());
            processes.insert(who, Mutex::new(process));
        }
        Ok(Self { processes, traffic, recorder })
    }

    /// These processes; waits for those who hold them. Everybody asks in the order of names, so nobody waits for ever.
    pub(crate) async fn hold(&self, whose: &[Who]) -> Vec<MutexGuard<'_, Process>> {
        let mut held = Vec::new();
        for (_, process) in self.processes.iter().filter(|(who, _)| whose.contains(who)) {
            held.push(process.lock().await);
        }
        held
    }

    /// Takes down what everybody uses.
    pub(crate) async fn measure(&self) {
        for process in self.processes.values() {
            process.lock().await.measure();
        }
    }

    /// Asks everybody how many tasks it has, and waits for the answers.
    pub(crate) async fn count_tasks(&self) {
        for process in self.processes.values() {
            process.lock().await.tell(Command::Tasks).await;
        }
        let all = |now: &Now| Who::all().all(|who| now.has_told_tasks(who));
        self.recorder.wait_for(Duration::from_secs(10), all).await;
    }

    /// Asks everybody to end, at once, and waits for that.
    pub(crate) async fn end(&self) {
        let ends = self.processes.iter().map(|(who, process)| async {
            process.lock().await.quit(who.number.is_multiple_of(2)).await;
        });
        join_all(ends).await;
    }

    /// Takes down the connections that everybody makes, for ever.
    pub(crate) async fn count_connections(&self) {
        let mut counting: BTreeMap<Who, Counting> = BTreeMap::new();
        let mut ticks = interval(COUNTING);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // It says when it was due, which is not when it comes.
            ticks.tick().await;
            for (who, ways) in &self.traffic {
                let accepted = || ways.iter().map(|way| way.borrow().accepted).sum();
                if let Some(Entry { at, what }) = counting.entry(*who).or_default().look(*who, accepted) {
                    self.recorder.note_at(at, what);
                }
            }
        }
    }
}
