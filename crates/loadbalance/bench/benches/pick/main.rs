//! What a pick costs beside the least that it can cost and beside what others offer.
//!
//! `make bench` runs all of it; `cargo bench -- --help`, in this crate, tells how to measure a part. Nothing here passes or
//! fails: figures are printed beside what they should be.

mod cases;
mod clock;
mod floors;
mod list;
mod measure;
mod ours;
mod peers;
mod race;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use criterion::Criterion;

use crate::cases::FAMILIES;
use crate::list::List;
use crate::race::{Case, Outcome, Pace, Race};

/// Measures the picks of loadbalance beside floors and peers.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --")]
struct Args {
    /// What to measure; all of it unless told.
    which: Vec<String>,
    /// Fewer sizes and shorter rounds: about two minutes.
    #[arg(long)]
    quick: bool,
    /// How many instances.
    #[arg(long, value_delimiter = ',')]
    many: Vec<usize>,
    /// The folder that gets the tables and the plots.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/bench"))]
    out: PathBuf,
    /// Write no files.
    #[arg(long)]
    no_write: bool,
    /// What cargo says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The races, run one after the other.
pub(crate) struct Bench {
    criterion: Criterion,
    pace: Pace,
    outcomes: Vec<Outcome>,
}

impl Bench {
    /// A race alone, and one of two threads.
    fn each_number_of_threads<'a>(&mut self, of: Case, race: impl Fn(Case) -> Race<'a>) {
        for threads in [1, 2] {
            let outcome = race(Case { threads, ..of }).run(&mut self.criterion, self.pace);
            for r in &outcome.ratios {
                eprintln!(
                    "{} N={} {} {}t: {} / {} = {:.3} ({:.3}..{:.3}) limit {:?} {:?}{}",
                    of.family,
                    of.many,
                    of.weights.as_str(),
                    threads,
                    r.of,
                    r.to,
                    r.value,
                    r.middle.0,
                    r.middle.1,
                    r.at_most,
                    r.is_reached(),
                    if r.clean { "" } else { " ~" }
                );
            }
            for t in &outcome.times {
                eprint!("  {}: {:.2}", t.of, t.nanos);
            }
            eprintln!();
            self.outcomes.push(outcome);
        }
    }
}

fn main() {
    let args = Args::parse();
    let sizes: &[usize] = if args.quick { &[3, 1000, 10_000] } else { &[3, 100, 1000, 10_000, 100_000] };
    let sizes = if args.many.is_empty() { sizes } else { &args.many };
    let milliseconds = Duration::from_millis;
    let (warm_up, measure) = if args.quick { (100, 500) } else { (200, 1500) };
    let mut bench = Bench {
        criterion: Criterion::default().without_plots().save_baseline("last".to_owned()),
        pace: Pace {
            warm_up: milliseconds(warm_up),
            measure: milliseconds(measure),
            more: milliseconds(2 * measure),
        },
        outcomes: Vec::new(),
    };
    for family in
        FAMILIES.iter().filter(|it| args.which.is_empty() || args.which.iter().any(|w| w == it.name))
    {
        for &weights in family.weights {
            for &many in sizes {
                let of = Case { family: family.name, many, weights, threads: 1 };
                (family.race)(&mut bench, &List::new(many, weights), of);
            }
        }
    }
}
