//! What registering, the first list and a change cost on a real ZooKeeper, beside the same work by the bare client.
//!
//! `make bench-zk` runs all of it, `demo bench register` one. A server is started for it unless `--zk`
//! names one. The figures that count are ratios within one round; nothing here passes or fails.

mod change;
mod cold_start;
mod machine;
mod peers;
mod register;
mod report;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;

use self::report::Report;
use self::stage::Stage;
use crate::output::print;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    peer: Option<peers::Command>,
    /// What to measure; all of it unless told.
    which: Vec<Which>,
    /// Servers to measure on instead of one that is started for it; everything is kept below /headkeeper-bench.
    #[arg(long, value_name = "HOST:PORT[,...]")]
    zk: Option<String>,
    /// How many instances.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=200_000))]
    instances: u32,
    /// How many rounds count; one more goes before them, for the server to warm up.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// A folder that gets a file for each bench; none is written unless told.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    Register,
    ColdStart,
    Change,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    // In a task, for what is polled by `block_on` itself pays for every wake of another thread.
    tokio::spawn(measure(args)).await.context("the bench ended early")?
}

async fn measure(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(command) = args.peer {
        return peers::run(command).await;
    }
    let all = [Which::Register, Which::ColdStart, Which::Change];
    let which = if args.which.is_empty() { &all[..] } else { &args.which };
    let mut reports = Vec::new();
    for which in which {
        let stage = Stage::set(args.zk.as_deref()).await?;
        let report = match which {
            Which::Register => register::run(&stage, args.instances, args.rounds).await?,
            Which::ColdStart => cold_start::run(&stage, args.instances, args.rounds).await?,
            Which::Change => change::run(&stage, args.instances, args.rounds).await?,
        };
        stage.clear().await?;
        if !args.json {
            print(report.tables())?;
        }
        if let Some(out) = &args.out {
            report.write(out)?;
        }
        reports.push(report);
    }
    if args.json {
        let json: Vec<_> = reports.iter().map(Report::json).collect();
        print(serde_json::to_string_pretty(&json)?)?;
    }
    Ok(ExitCode::SUCCESS)
}
