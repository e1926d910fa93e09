//! What a pick costs beside the least that it can cost and beside what others offer.
//!
//! `make bench` runs all of it; `cargo bench -- --help`, in this crate, tells how to measure a part. Nothing here passes or
//! fails: figures are printed beside what they should be.

mod cases;
mod churn;
mod clock;
mod floors;
mod list;
mod measure;
mod ours;
mod peers;
mod quality;
mod race;
mod rebuild;
mod report;

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use clap::Parser;
use criterion::Criterion;
use loadbalance::Name;

use crate::cases::FAMILIES;
use crate::list::{List, Weights};
use crate::race::{Case, Pace, Race};
use crate::report::Report;

/// Measures the picks of loadbalance beside floors and peers.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --")]
struct Args {
    /// What to measure, all of it unless told: an algorithm's races, `churn`, `rebuild` or `quality`.
    which: Vec<String>,
    /// Fewer sizes and shorter rounds: about two minutes.
    #[arg(long)]
    quick: bool,
    /// How many instances.
    #[arg(long, value_delimiter = ',')]
    many: Vec<usize>,
    /// The folder that gets the tables and the plots; when all is measured it is docs/bench.
    #[arg(long)]
    out: Option<PathBuf>,
    /// What cargo says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Args {
    fn is_asked_for(&self, what: &str) -> bool {
        self.which.is_empty() || self.which.iter().any(|which| which == what)
    }

    fn sizes(&self) -> &[usize] {
        match (self.many.as_slice(), self.quick) {
            ([], true) => &[3, 1000, 10_000],
            ([], false) => &[3, 100, 1000, 10_000, 100_000],
            (many, _) => many,
        }
    }

    fn pace(&self) -> Pace {
        let milliseconds = Duration::from_millis;
        let (warm_up, measure) = if self.quick { (50, 400) } else { (200, 1500) };
        Pace {
            warm_up: milliseconds(warm_up),
            measure: milliseconds(measure),
            more: milliseconds(3 * measure),
        }
    }

    /// Where the page is written to.
    fn folder(&self) -> Option<PathBuf> {
        let whole = self.which.is_empty() && self.many.is_empty() && !self.quick;
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/bench");
        self.out.clone().or(whole.then_some(docs))
    }
}

/// The races, run one after the other.
pub(crate) struct Bench {
    criterion: Criterion,
    pace: Pace,
    report: Report,
}

impl Bench {
    /// A race alone, and one of two threads.
    fn each_number_of_threads<'a>(&mut self, of: Case, race: impl Fn(Case) -> Race<'a>) {
        for threads in [1, 2] {
            let outcome = race(Case { threads, ..of }).run(&mut self.criterion, self.pace);
            self.report.outcomes.push(outcome);
        }
    }
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    let criterion = Criterion::default().without_plots().save_baseline("last".to_owned());
    let report = Report { commit: measured::commit(env!("CARGO_MANIFEST_DIR")), ..Report::default() };
    let mut bench = Bench { criterion, pace: args.pace(), report };
    for family in FAMILIES.iter().filter(|it| args.is_asked_for(it.name)) {
        for &weights in family.weights {
            for &many in args.sizes() {
                let of = Case { family: family.name, many, weights, threads: 1 };
                (family.race)(&mut bench, &List::new(many, weights), of);
            }
        }
    }
    let mut report = bench.report;
    for name in Name::ALL.into_iter().filter(|_| args.is_asked_for("churn")) {
        eprintln!("picking by {name} while the list changes");
        report.churns.push(churn::churn(name, args.quick));
    }
    for weights in [Weights::Equal, Weights::Mixed].into_iter().filter(|_| args.is_asked_for("rebuild")) {
        for &many in args.sizes() {
            eprintln!("preparing for {many} instances, {} weights", weights.as_str());
            report.rebuilds.extend(rebuild::rebuilds(&List::new(many, weights), weights, args.quick));
        }
    }
    if args.is_asked_for("quality") {
        eprintln!("looking at what is picked");
        report.findings = quality::findings(args.quick);
    }
    println!("{}", report.text());
    let raw = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("pick.json");
    fs::write(&raw, format!("{:#}\n", report.json()))?;
    eprintln!("written: {}", raw.display());
    if let Some(folder) = args.folder() {
        report.write(&folder)?;
        eprintln!("written: {}", folder.join("pick.md").display());
    }
    Ok(())
}
