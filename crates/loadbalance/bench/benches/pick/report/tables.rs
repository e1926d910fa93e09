//! The tables of a run.

use super::Report;
use super::table::{Table, beside, bytes, number, time};
use crate::cases::{FAMILIES, Family};
use crate::churn::{AT_MOST, Churn, MANY, PER_SECOND};
use crate::ours::{CHOOSE, FIXED, GUARD, OWNED};
use crate::peers::name;
use crate::race::{Outcome, Ratio};
use crate::rebuild::Rebuild;

/// Each with a title and what is to be said before it.
pub(super) fn sections(report: &Report) -> Vec<(String, String, Table)> {
    let mut sections = Vec::new();
    for family in FAMILIES {
        let outcomes: Vec<_> = report.outcomes.iter().filter(|it| it.of.family == family.name).collect();
        if !outcomes.is_empty() {
            sections.push((family.name.to_owned(), String::new(), times(&outcomes)));
            sections.push((format!("{}, ratios", family.name), String::new(), ratios(&outcomes)));
        }
    }
    if !report.churns.is_empty() {
        sections.push(("While the list changes".to_owned(), about_churn(), churns(&report.churns)));
    }
    if !report.rebuilds.is_empty() {
        let about = "Processor time of preparing for a list, and what stays allocated for it, without the list itself.\n\n";
        sections.push(("A new list".to_owned(), about.to_owned(), rebuilds(&report.rebuilds)));
    }
    if !report.findings.is_empty() {
        sections.push(("What is picked".to_owned(), String::new(), findings(report)));
    }
    sections
}

/// How long a pick of 100 takes on one thread: the answer before all details.
pub(super) fn in_short(report: &Report) -> Table {
    let ways = [FIXED, CHOOSE, GUARD, OWNED];
    let of_100 = |it: &&Outcome| it.of.many == 100 && it.of.threads == 1;
    // Of those with several weights the mixed ones, which come last.
    let of_family =
        |family: &Family| report.outcomes.iter().filter(of_100).rfind(|it| it.of.family == family.name);
    let row = |outcome: &Outcome| {
        let of = |name: &str| outcome.time(name).map_or_else(|| "-".to_owned(), |it| number(it.nanos));
        [outcome.of.family.to_owned()].into_iter().chain(ways.map(of)).chain([of(name::BALANCER)]).collect()
    };
    let heads = ways.iter().chain([&name::BALANCER]).map(|name| format!("{name}, ns"));
    Table {
        words: 1,
        head: ["algorithm".to_owned()].into_iter().chain(heads).collect(),
        rows: FAMILIES.iter().filter_map(of_family).map(row).collect(),
    }
}

fn case(outcome: &Outcome) -> Vec<String> {
    let of = outcome.of;
    vec![of.many.to_string(), of.weights.as_str().to_owned(), of.threads.to_string()]
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn mark(clean: bool) -> &'static str {
    if clean { "" } else { "~" }
}

/// Nanoseconds of each way to pick.
fn times(outcomes: &[&Outcome]) -> Table {
    let mut names: Vec<&str> = Vec::new();
    for time in outcomes.iter().flat_map(|it| &it.times) {
        if !names.contains(&time.of) {
            names.push(time.of);
        }
    }
    let row = |outcome: &&Outcome| {
        let cell = |name: &&str| {
            let time = outcome.time(name);
            time.map_or_else(|| "-".to_owned(), |it| format!("{}{}", mark(it.clean), number(it.nanos)))
        };
        case(outcome).into_iter().chain(names.iter().map(cell)).collect()
    };
    let head = strings(&["N", "weights", "threads"])
        .into_iter()
        .chain(names.iter().map(|name| format!("{name}, ns")));
    Table { words: 3, head: head.collect(), rows: outcomes.iter().map(row).collect() }
}

/// Each comparison beside its limit.
fn ratios(outcomes: &[&Outcome]) -> Table {
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for ratio in outcomes.iter().flat_map(|it| &it.ratios) {
        if !pairs.contains(&(ratio.of, ratio.to)) {
            pairs.push((ratio.of, ratio.to));
        }
    }
    let row = |outcome: &&Outcome| {
        let show = |it: &Ratio| match it.clean {
            true => beside(it.value, it.at_most),
            false => format!("~{}", number(it.value)),
        };
        let cell = |(of, to): &(&str, &str)| outcome.ratio(of, to).map_or_else(|| "-".to_owned(), show);
        case(outcome).into_iter().chain(pairs.iter().map(cell)).collect()
    };
    let names = pairs.iter().map(|(of, to)| format!("{of} / {to}"));
    let head = strings(&["N", "weights", "threads"]).into_iter().chain(names).collect();
    Table { words: 3, head, rows: outcomes.iter().map(row).collect() }
}

fn about_churn() -> String {
    format!(
        "Single picks by `Handle::pick` from a balancer that follows a channel, on {MANY} instances with mixed weights, \
         timed with the processor's counter, which advances by {} ns here, less what reading it takes; quiet, and while {PER_SECOND} lists a second come, \
         each with one weight changed, one instance gone or one come. A list that comes while the one before is prepared \
         for waits, and only the last of those that wait is prepared for. The ratio is of the p99.9, within rounds.\n\n",
        crate::churn::step(),
    )
}

fn churns(churns: &[Churn]) -> Table {
    let row = |it: &Churn| {
        let tail =
            |tail: &crate::churn::Tail| [time(tail.median), time(tail.p99), time(tail.p999), time(tail.most)];
        let start = [it.name.to_string(), it.changes.to_string(), it.prepared.to_string()];
        let tails = tail(&it.quiet).into_iter().chain(tail(&it.churning));
        start.into_iter().chain(tails).chain([beside(it.ratio, Some(AT_MOST))]).collect()
    };
    let head = [
        "algorithm",
        "lists",
        "prepared",
        "quiet p50",
        "p99",
        "p99.9",
        "most",
        "changing p50",
        "p99",
        "p99.9",
        "most",
        "p99.9 to quiet",
    ];
    Table { words: 1, head: strings(&head), rows: churns.iter().map(row).collect() }
}

fn rebuilds(rebuilds: &[Rebuild]) -> Table {
    let row = |it: &Rebuild| {
        let ours = [
            it.family.to_owned(),
            it.many.to_string(),
            it.weights.as_str().to_owned(),
            time(it.nanos),
            bytes(it.bytes),
        ];
        let its = match &it.beside {
            None => std::array::from_fn(|_| String::new()),
            Some(other) => [
                other.peer.to_owned(),
                time(other.nanos),
                beside(other.ratio, other.at_most),
                bytes(other.bytes),
                beside(it.bytes / other.bytes, other.memory_at_most),
            ],
        };
        ours.into_iter().chain(its).collect()
    };
    let head = [
        "algorithm",
        "N",
        "weights",
        "time",
        "memory",
        "beside",
        "its time",
        "x its time",
        "its memory",
        "x its memory",
    ];
    Table { words: 3, head: strings(&head), rows: rebuilds.iter().map(row).collect() }
}

fn findings(report: &Report) -> Table {
    let row = |it: &crate::quality::Finding| {
        vec![it.what.clone(), beside(it.value, it.at_most), it.unit.to_owned()]
    };
    Table { words: 1, head: strings(&["what", "found", ""]), rows: report.findings.iter().map(row).collect() }
}
