//! One run: everybody starts, faults come and go, everybody ends, and what happened is known.

use std::io::{Write, stderr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use zk_local::{Ensemble, Server};

use crate::faults::World;
use crate::fleet::{Fleet, Launch};
use crate::history::{Entry, History, Nanos, Setting, What, nanos, now};
use crate::ledger::Ledger;
use crate::plan::{Episode, Plan, SESSION, TICK};
use crate::recorder::Recorder;
use crate::transactions;

/// How long everybody may take to begin, on a busy machine.
const BEGIN: Duration = Duration::from_secs(60);

/// How long everything may take to become whole, before the next faults come all the same.
const WHOLE: Duration = Duration::from_secs(20);

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) seed: u64,
    pub(crate) duration: Duration,
    /// The program with the agents.
    pub(crate) demo: PathBuf,
    /// What is broken in the candidates, and the program that they are then.
    pub(crate) broken: Option<(String, PathBuf)>,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) history: History,
    /// Whether what the servers wrote is in it, without which nothing can be judged.
    pub(crate) whole: bool,
    /// Whether somebody asked it to end early.
    pub(crate) stopped: bool,
    /// Why it ended early by itself.
    pub(crate) trouble: Option<anyhow::Error>,
}

/// Runs until the time is over or somebody asks to stop, and returns what happened.
pub(crate) async fn run(order: Order, stop: impl Future<Output = ()>) -> anyhow::Result<Outcome> {
    let Order { seed, duration, demo, broken } = order;
    let service = proto::ServiceName::parse("chaos")?;
    let root = proto::Root::default();
    let plan: Box<dyn Iterator<Item = Episode> + Send> = match &broken {
        None => Box::new(Plan::of(seed)),
        Some(_) => Box::new(Plan::against_a_lease(seed)),
    };
    let setting = Setting {
        seed,
        session_ms: SESSION.as_millis().try_into()?,
        tick_ms: TICK.as_millis().try_into()?,
        service: service.to_string(),
        broken: broken.as_ref().map(|(what, _)| what.clone()),
    };
    let servers = Server::builder().tick(TICK);
    let ensemble = Ensemble::builder(3).servers(servers).separable().progress(true).start().await?;
    let recorder = Arc::new(Recorder::default());
    let ledger = Ledger::open(Arc::clone(&recorder)).await?;
    let launch = Launch {
        demo,
        broken: broken.map(|(_, program)| program),
        service: service.to_string(),
        ledger: ledger.at,
        session: SESSION,
        recorder: Arc::clone(&recorder),
    };
    let clocks = Clocks::read()?;
    let fleet = Fleet::start(&ensemble, launch).await?;
    let (instances, elections) = (root.instances_dir(&service), root.election_dir(&service));
    let world = Arc::new(World { ensemble, fleet, recorder: Arc::clone(&recorder), instances, elections });
    let counting = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.fleet.count_connections().await }
    });
    if !recorder.wait_for(BEGIN, |now| now.missing(0).is_none()).await {
        bail!("not everybody began: {}", recorder.look(|now| now.missing(0)).unwrap_or_default());
    }
    recorder.note(What::Begun);
    world.fleet.measure().await;
    world.fleet.count_tasks().await;
    say("20 instances, 5 watchers and 5 candidates are at work; now things break");

    let mut causing = JoinSet::new();
    let mut stopped = false;
    let mut trouble = tokio::select! {
        broke = break_things(&world, &mut causing, plan, duration) => broke.err(),
        () = stop => {
            say("stopped early; all is mended, and what happened so far is judged");
            stopped = true;
            None
        }
    };
    counting.abort();
    // Whatever is broken off half way is at rest before it is mended.
    causing.shutdown().await;
    if let Err(error) = world.mend().await {
        trouble.get_or_insert(error);
    }
    recorder.note(What::Healed);
    if recorder.wait_for(WHOLE, |now| now.missing(0).is_none()).await {
        recorder.note(What::Whole);
    }
    // Some promises give a while, and nothing is broken in it.
    sleep(SESSION).await;
    world.fleet.measure().await;
    world.fleet.count_tasks().await;
    world.fleet.end().await;

    let mut entries = recorder.take();
    let whole = match written(&world.ensemble, clocks).await {
        Ok(written) => {
            entries.extend(written);
            true
        }
        Err(error) => {
            trouble.get_or_insert(error);
            false
        }
    };
    let end = entries.iter().map(|entry| entry.at).max().unwrap_or_default();
    entries.push(Entry { at: end, what: What::Done });
    Ok(Outcome { history: History::new(setting, entries), whole, stopped, trouble })
}

/// Causes one episode after the other until the time is over.
async fn break_things(
    world: &Arc<World>,
    causing: &mut JoinSet<anyhow::Result<()>>,
    plan: impl Iterator<Item = Episode>,
    duration: Duration,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut id = 0;
    for Episode { faults, rest } in plan {
        if begin.elapsed() >= duration {
            break;
        }
        let kinds: Vec<_> = faults.iter().map(|fault| fault.kind.to_string()).collect();
        for fault in faults {
            let (world, id) = (Arc::clone(world), {
                id += 1;
                id
            });
            causing.spawn(async move {
                let caused = world.cause(id, &fault).await;
                caused.with_context(|| format!("cannot cause the fault {:?}", fault.kind))
            });
        }
        while let Some(caused) = causing.join_next().await {
            caused.context("a fault panicked")??;
        }
        let healed = now();
        world.recorder.note_at(healed, What::Healed);
        let whole = world.recorder.wait_for(WHOLE, |now| now.missing(healed).is_none()).await;
        let took = Duration::from_nanos(now() - healed);
        let outcome = if whole {
            world.recorder.note(What::Whole);
            format!("whole after {:.2} s", took.as_secs_f64())
        } else {
            let missing = world.recorder.look(|now| now.missing(healed)).unwrap_or_default();
            let outcome = format!("NOT WHOLE after {WHOLE:?}: {missing}");
            world.recorder.note(What::Stuck { missing });
            outcome
        };
        say(&format!(
            "{:>5.0} s of {:.0} s  {:<70} {outcome}",
            begin.elapsed().as_secs_f64(),
            duration.as_secs_f64(),
            kinds.join(" + ")
        ));
        world.fleet.measure().await;
        sleep(rest).await;
    }
    Ok(())
}

/// What the servers wrote down.
async fn written(ensemble: &Ensemble, clocks: Clocks) -> anyhow::Result<Vec<Entry>> {
    let folders: Vec<_> = ensemble.servers().iter().map(Server::data).collect();
    for server in ensemble.servers() {
        // Until then it may be writing.
        server.stop().await?;
    }
    let transactions = tokio::task::spawn_blocking(move || transactions::read(&folders)).await??;
    ensure!(!transactions.is_empty(), "the servers' transaction logs are empty");
    Ok(transactions
        .into_iter()
        .flat_map(|transaction| {
            let at = clocks.monotonic(transaction.time);
            transaction.changes.into_iter().map(move |change| Entry {
                at,
                what: What::Wrote { zxid: transaction.zxid, session: transaction.session, change },
            })
        })
        .collect())
}

/// What two clocks said at the same moment. Servers date by the one, everybody else by the other.
#[derive(Clone, Copy, Debug)]
struct Clocks {
    wall_millis: i64,
    monotonic: Nanos,
}

impl Clocks {
    #[expect(clippy::disallowed_methods, reason = "it is what servers write into their logs")]
    fn read() -> anyhow::Result<Self> {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
        Ok(Self { wall_millis: wall.as_millis().try_into()?, monotonic: now() })
    }

    fn monotonic(self, wall_millis: i64) -> Nanos {
        let since = u64::try_from(wall_millis - self.wall_millis).unwrap_or_default();
        self.monotonic + nanos(Duration::from_millis(since))
    }
}

/// To the person who waits. There is nobody to tell when stderr is gone.
fn say(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}
