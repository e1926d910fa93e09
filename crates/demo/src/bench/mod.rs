//! What sessions, registrations, lists and elections cost on a real ZooKeeper, beside the same work by the bare client.
//!
//! `make bench-zk` runs all of it, `demo bench register` one scenario. A server is started for each scenario unless
//! `--zk` names one. The figures that count are ratios within one round; nothing here passes or fails.
//!
//! [`which`] knows all scenarios, [`plan`](mod@plan) says what is run at which sizes, and each scenario works on a [`stage`] of its own and
//! hands back a [`report`] for each size.

mod outside;
mod peers;
mod plan;
mod processes;
mod relay;
mod report;
mod scenarios;
mod stage;
mod which;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use cli::ending::INTERRUPTED;
use cli::flags::number;
use cli::output::{complain, print};
use cli::signals::Stop;
use cli::zookeeper::servers;
use jiff::Timestamp;
use serde_json::json;
use tokio::time::timeout;

use self::plan::{Asked, Run, left_out, plan};
use self::report::Report;
use self::report::machine;
use self::report::page::{self, Circumstances};
use self::report::progress::Progress;
use self::report::side_by_side::{SideBySide, verdict};
use self::stage::{ROOT, Stage};
use self::which::Which;

/// More would not fit on the smallest machine.
const MOST: u32 = 200_000;
/// Nothing takes that long at one size unless something is lost.
const LONGEST: Duration = Duration::from_secs(30 * 60);
/// How long it may take to leave servers of others as they were, once somebody wants us to stop.
const LEAVING: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    peer: Option<peers::Command>,
    /// What to measure; all of it unless told
    which: Vec<Which>,
    /// Servers to measure on instead of one that is started for it; everything is kept below /headkeeper-bench and taken away. What needs
    /// a server of its own is left out. They are reached in the clear and as nobody: those that want TLS or an identity cannot be measured
    #[arg(long, value_name = "HOST:PORT[,...]", value_parser = servers)]
    zk: Option<String>,
    /// How many instances, one size after the other; of hand-over it is candidates, of watchers sessions, and of burst and slow changes
    /// [default: 100,1000,10000 for most scenarios, others have their own]
    #[arg(long, value_name = "N[,N...]", value_delimiter = ',', value_parser = number::<u32>(1..=u64::from(MOST)))]
    instances: Vec<u32>,
    /// How many rounds count, of which medians are shown; one more goes before them, for the server to warm up [default: 5 for most scenarios]
    #[arg(long, value_name = "N", value_parser = number::<u32>(1..=1_000))]
    rounds: Option<u32>,
    /// A folder that gets a page with tables, zookeeper.md, and its plots; of what was measured in this run
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print JSON with the figures of all rounds instead of tables
    #[arg(long)]
    json: bool,
    /// Be one part of a bench, for the process that runs it.
    #[arg(long, hide = true, value_name = "JSON", exclusive = true)]
    part: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  demo bench                                             all of it; 16 minutes on two cores
  demo bench register --instances 100 --rounds 1         a first look, in seconds
  demo bench cold-start change --instances 1000,10000    two of them, at two sizes
  demo bench outage --instances 10000 --rounds 20        is anything ever lost? six minutes
  demo bench register --json | jq '.scenarios[].sizes'   for a program, with every round
  demo bench --out docs/bench                            a page with plots as well

Build it with --release, and leave the machine alone meanwhile: the server is on it, too.

Exit codes: 0 measured, whether limits are met or not; 1 something could not be measured (the rest was); 2 not understood (nothing was started);
130 stopped before it was done (with --zk, what was begun there is taken away).";

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(command) = args.peer {
        return tokio::spawn(peers::run(command)).await.context("the bench ended early")?;
    }
    if let Some(part) = args.part {
        return tokio::spawn(async move { processes::run(&part).await })
            .await
            .context("a part ended early")?;
    }
    let on_others = args.zk.is_some();
    let asked = Asked { which: &args.which, instances: &args.instances, rounds: args.rounds, on_others };
    let runs = plan(asked)?;
    if let Some(left_out) = left_out(asked) {
        complain(&left_out);
    }
    // In a task, for what is polled by `block_on` itself pays for every wake of another thread.
    tokio::spawn(measure_or_stop(args, runs)).await.context("the bench ended early")?
}

/// What is begun on servers of others is taken away when somebody stops it.
async fn measure_or_stop(args: Args, runs: Vec<Run>) -> anyhow::Result<ExitCode> {
    let mut stop = Stop::listen()?;
    let zk = args.zk.clone();
    tokio::select! {
        measured = measure(args, runs) => return measured,
        () = stop.requested() => {}
    }
    if let Some(zk) = zk {
        let cleared = tokio::select! {
            cleared = timeout(LEAVING, stage::clear(&zk)) => {
                cleared.unwrap_or_else(|_| Err(anyhow!("it takes more than {LEAVING:?}")))
            }
            () = stop.requested() => Err(anyhow!("stopped once more")),
        };
        if let Err(error) = cleared {
            complain(&format!("error: what is below {ROOT} at {zk} stays: {error:#}"));
        }
    }
    Ok(ExitCode::from(INTERRUPTED))
}

async fn measure(args: Args, runs: Vec<Run>) -> anyhow::Result<ExitCode> {
    if let Some(out) = &args.out {
        // Now, and not after minutes.
        fs::create_dir_all(out).with_context(|| format!("cannot write to {}", out.display()))?;
    }
    let (began, commit) = (Timestamp::now(), machine::commit());
    let progress = Arc::new(Progress::new(&runs));
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for run in &runs {
        progress.starts(run);
        let stage = Stage::set(args.zk.as_deref(), progress.clone()).await;
        // Without a server there is none for the others either.
        let has_server = stage.is_ok();
        let (reports, ended) = match stage {
            Ok(stage) => scenario(&stage, run, &progress).await,
            Err(error) => (Vec::new(), Err(error)),
        };
        if !reports.is_empty() {
            let measured = SideBySide::new(run.which.of(), reports);
            if !args.json {
                progress.aside(|| print(format!("{}\n", measured.text())))?;
            }
            done.push(measured);
        }
        if let Err(error) = ended {
            let error = error.context(format!("cannot measure {}", run.which.name()));
            let error = format!("{error:#}");
            progress.aside(|| complain(&format!("error: {error}")));
            failed.push(error);
        }
        if !has_server {
            break;
        }
    }
    progress.finish();
    // What was measured is told though something failed, and that it is not all.
    if !done.is_empty() {
        tell(&args, &done, &Circumstances { began, commit, part: args.part_of_all(), failed: &failed })?;
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints and writes what was measured.
fn tell(args: &Args, done: &[SideBySide], of: &Circumstances<'_>) -> anyhow::Result<()> {
    if args.json {
        let scenarios: Vec<_> = done.iter().map(SideBySide::json).collect();
        let json = json!({
            "began": of.began.to_string(),
            "commit": of.commit,
            "machine": measured::machine(),
            "client": machine::clients(),
            "part": of.part,
            "failed": of.failed,
            "scenarios": scenarios,
        });
        print(serde_json::to_string_pretty(&json)?)?;
    } else {
        print(verdict(done))?;
    }
    if let Some(out) = &args.out {
        let page = page::write(done, of, out)?;
        complain(&format!("written: {}", page.display()));
    }
    Ok(())
}

impl Args {
    /// What was asked for, where it is not all as it is by itself.
    fn part_of_all(&self) -> Option<String> {
        let mut words: Vec<_> = self.which.iter().map(|which| which.name().to_owned()).collect();
        if !self.instances.is_empty() {
            let sizes: Vec<_> = self.instances.iter().map(u32::to_string).collect();
            words.push(format!("--instances {}", sizes.join(",")));
        }
        words.extend(self.rounds.map(|rounds| format!("--rounds {rounds}")));
        words.extend(self.zk.as_ref().map(|zk| format!("--zk {zk}")));
        (!words.is_empty()).then(|| words.join(" "))
    }
}

/// What was measured, by rising sizes, until it ended.
///
/// The largest size first: a server that has just been started is slow, and that would look as if small sizes were.
async fn scenario(stage: &Stage, run: &Run, progress: &Progress) -> (Vec<(u32, Report)>, anyhow::Result<()>) {
    let mut reports = Vec::new();
    for &count in run.sizes.iter().rev() {
        progress.size(count);
        let report = timeout(LONGEST, run.which.run(stage, count, run.rounds));
        let report = report.await.unwrap_or_else(|_| Err(anyhow!("it does not end")));
        let cleared = stage.clear().await;
        match report.with_context(|| format!("with {count} {}", run.which.of())) {
            Ok(report) => reports.insert(0, (count, report)),
            Err(error) => return (reports, Err(error)),
        }
        if let Err(error) = cleared {
            return (reports, Err(error));
        }
        progress.size_done();
    }
    (reports, Ok(()))
}
