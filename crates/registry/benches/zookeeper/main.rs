//! What registering, the first list and a change cost on a real ZooKeeper, beside the same work by the bare client.
//!
//! `make bench-zk` runs all of it, `cargo bench -p registry -- register` one. A server is started for it unless `--zk`
//! names one. The figures that count are ratios within one round; nothing here passes or fails.

mod change;
mod cold_start;
mod machine;
mod register;
mod report;
mod stage;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::report::Report;
use crate::stage::Stage;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Measures registration and discovery beside the bare ZooKeeper client.
#[derive(Debug, Parser)]
#[command(name = "cargo bench -p registry --")]
struct Args {
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
    /// The folder that gets a file for each bench.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/bench"))]
    out: PathBuf,
    /// Write no files.
    #[arg(long)]
    no_write: bool,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// What cargo says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    Register,
    ColdStart,
    Change,
}

fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // In a task, for what is polled by `block_on` itself pays for every wake of another thread.
    runtime.block_on(async { tokio::spawn(run(args)).await? })
}

async fn run(args: Args) -> Result<(), Failure> {
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
            println!("{}", report.tables());
        }
        if !args.no_write {
            report.write(&args.out)?;
        }
        reports.push(report);
    }
    if args.json {
        let json: Vec<_> = reports.iter().map(Report::json).collect();
        println!("{}", serde_json::to_string_pretty(&json)?);
    }
    Ok(())
}
