//! Breaks an ensemble of ZooKeeper servers, thirty of its clients and the ways between them at random, takes down from outside
//! what everybody does, and judges that by what is promised.

mod broken;
mod facts;
mod faults;
mod fleet;
mod history;
mod judge;
mod ledger;
mod plan;
mod recorder;
mod recovery;
mod report;
mod run;
mod transactions;
mod who;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use cli::ending::{INTERRUPTED, Usage, code};
use cli::flags::number;
use cli::output::{complain, print};
use cli::signals::Stop;
use cli::teaching::Teach;

use crate::facts::Facts;
use crate::history::History;
use crate::run::Order;

/// Breaks ZooKeeper, its clients and the network between them at random, and checks that what is promised holds.
#[derive(Debug, Parser)]
#[command(name = "chaos", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  chaos run                             a minute of faults
  chaos run --duration 3600 --seed 7    an hour of them, of the same kinds and lengths with this seed
  chaos run --break lease               shows that a broken leader is found
  chaos judge target/chaos/7.jsonl      judges once more what was taken down

Exit codes: 0 all promises held, 1 one was broken or the run failed, 2 not understood, 130 stopped early.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everybody, break things, and judge what happened
    ///
    /// The servers of ZooKeeper are its own, which it starts on this machine: they are reached in the clear and as nobody, whatever the
    /// environment says of another ZooKeeper.
    #[command(after_help = RUN)]
    Run(Run),
    /// Judge a history that was taken down before, and draw its page again
    #[command(after_help = JUDGE)]
    Judge(Judge),
    /// Be the candidate that is broken on purpose
    #[command(hide = true)]
    Candidate(broken::Args),
    #[command(flatten)]
    Teach(Teach),
}

const RUN: &str = "\
Examples:
  cargo build -p demo -p chaos && target/debug/chaos run    a minute of faults, on servers that it starts
  chaos run --seed 7                                        the same kinds and lengths of faults as another run with this seed
  chaos run --duration 600 --slack 4                        ten minutes of them, on a machine that is busy with other things
  chaos run --break lease                                   a broken leader, which must be found: ends with 1
  chaos run --json | jq .violations                         for a program

It says its seed first. What was seen goes to target/chaos/SEED.jsonl, and a page with the timeline beside it.

Exit codes: 0 all promises held; 1 one was broken, or the run failed; 2 not understood (nothing was started); 130 stopped early.";

const JUDGE: &str = "\
Examples:
  chaos judge target/chaos/7.jsonl              once more, by what is promised now
  chaos judge target/chaos/7.jsonl --slack 4    with four times as much time for everything

Exit codes: 0 all promises held; 1 one was broken, or the history cannot be read; 2 not understood.";

#[derive(Args, Debug)]
struct Run {
    /// For how many seconds things break
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = number::<u64>(1..=1_000_000))]
    duration: u64,

    /// Which faults come: the same number brings the same ones for as long to the same processes, or to whoever leads then; drawn
    /// unless told
    #[arg(long, value_name = "N", value_parser = number::<u64>(0..=u64::MAX))]
    seed: Option<u64>,

    /// Break something in the candidates, which must then be found
    #[arg(long = "break", value_name = "WHAT")]
    broken: Option<Broken>,

    /// The program with the agents; `demo` beside this one unless told
    #[arg(long, value_name = "FILE")]
    demo: Option<PathBuf>,

    /// The folder for the history and the page
    #[arg(long, value_name = "FOLDER", default_value = "target/chaos")]
    out: PathBuf,

    #[command(flatten)]
    verdict: Verdict,
}

#[derive(Args, Debug)]
struct Judge {
    /// The history, as a run wrote it
    history: PathBuf,

    #[command(flatten)]
    verdict: Verdict,
}

#[derive(Args, Debug)]
struct Verdict {
    /// Stretch all limits of time, for a machine that is busy with other things
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = slack)]
    slack: f64,

    /// Print the verdict as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Broken {
    /// A leader goes on until it is told that its session expired
    Lease,
}

fn slack(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(factor) if (1.0..=100.0).contains(&factor) => Ok(factor),
        _ => Err("accepted: a number from 1 to 100".to_owned()),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    code(act(cli.command))
}

fn act(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(order) => cli::ending::run(start(order)),
        Command::Judge(Judge { history, verdict }) => {
            let shown = history.display();
            ensure!(
                history.exists(),
                "there is no history {shown}; chaos run writes them, into target/chaos unless --out says otherwise"
            );
            let page = history.with_extension("html");
            tell(&History::read(&history)?, &verdict, &page)
        }
        Command::Teach(what) => what.run(Cli::command()),
        Command::Candidate(args) => {
            cli::ending::run(async { broken::run(args).await.map(|()| ExitCode::SUCCESS) })
        }
    }
}

async fn start(Run { duration, seed, broken, demo, out, verdict }: Run) -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let demo = demo.unwrap_or_else(|| program.with_file_name("demo"));
    if !demo.is_file() {
        return Err(Usage(format!(
            "--demo: there is no {}; build it (cargo build -p demo), or say where it is",
            demo.display()
        ))
        .into());
    }
    let seed = seed.unwrap_or_else(|| rand::random_range(0..1_000_000));
    complain(&format!("seed {seed}"));
    let order = Order {
        seed,
        duration: Duration::from_secs(duration),
        demo,
        broken: broken.map(|Broken::Lease| ("lease".to_owned(), program)),
    };
    let mut stop = Stop::listen()?;
    let outcome = run::run(order, async { stop.requested().await }).await?;
    std::fs::create_dir_all(&out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let name = if broken.is_some() { format!("{seed}-broken") } else { seed.to_string() };
    let path = out.join(format!("{name}.jsonl"));
    outcome.history.write(&path)?;
    if let (false, Some(trouble)) = (outcome.whole, outcome.trouble.as_ref()) {
        bail!("it cannot be judged: {trouble:#}; what was seen is in {}", path.display());
    }
    let code = tell(&outcome.history, &verdict, &path.with_extension("html"))?;
    match outcome.trouble {
        Some(trouble) => Err(trouble.context("it ended early")),
        // What was found counts more than that there would have been more to find.
        None if outcome.stopped && code == ExitCode::SUCCESS => Ok(ExitCode::from(INTERRUPTED)),
        None => Ok(code),
    }
}

/// Judges, prints the verdict, and draws the page.
fn tell(history: &History, verdict: &Verdict, page: &Path) -> anyhow::Result<ExitCode> {
    let facts = Facts::of(history);
    let violations = judge::all(&facts, verdict.slack);
    let report = report::Report::of(&facts, &violations, verdict.slack);
    std::fs::write(page, report.html(&facts)).with_context(|| format!("cannot write {}", page.display()))?;
    let text = if verdict.json { report.json()? } else { report.text() };
    print(text)?;
    complain(&format!("the timeline is in {}", page.display()));
    Ok(if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_teaches_by_an_example_and_says_what_it_ends_with() {
        Cli::command().debug_assert();
        assert_eq!(cli::teaching::without_lessons(&Cli::command()), Vec::<String>::new());
    }

    #[test]
    fn it_understands_what_pages_say() {
        assert_eq!(pages::misunderstood(&Cli::command()).unwrap(), Vec::<String>::new());
    }
}
