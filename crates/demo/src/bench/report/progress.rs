//! What a person at the terminal sees while it is measured.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

use cli::output::complain;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use super::number::{grouped, rounds};
use crate::bench::plan::Run;

/// What a round costs however few instances there are, as that many instances. The time left is reckoned with it.
const BASE: u64 = 2_000;

/// A bar on stderr, or a line for each scenario where stderr is no terminal.
///
/// It is drawn when it is told something and never by itself: a thread that draws would take from what is measured.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    rounds: u32,
    at: Mutex<At>,
}

/// Which round of which size of which scenario.
#[derive(Default)]
struct At {
    scenario: &'static str,
    /// What its sizes are numbers of.
    of: &'static str,
    count: u32,
    /// The rounds of this size, with the one that does not count.
    rounds: u32,
    /// What was done before this size: the rounds, and their cost.
    before: (u32, u64),
}

impl Progress {
    pub(crate) fn new(runs: &[Run]) -> Self {
        let sizes = |run: &Run| u32::try_from(run.sizes.len()).unwrap_or(u32::MAX);
        let all = runs.iter().map(|run| sizes(run) * (run.rounds + 1)).sum();
        let cost = runs.iter().flat_map(|run| run.sizes.iter().map(|size| cost(*size, run.rounds + 1))).sum();
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(cost));
        if let Some(bar) = &bar
            && let Ok(style) = ProgressStyle::with_template("{bar:24} {prefix}: {wide_msg}")
        {
            bar.set_style(style);
            bar.set_prefix("beginning");
        }
        Self { bar, rounds: all, at: Mutex::default() }
    }

    /// A round begins; the first one is 0 and does not count.
    pub(crate) fn round(&self, round: u32) {
        let Some(bar) = &self.bar else { return };
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        bar.set_position(at.before.1 + cost(at.count, round));
        // Before the first one is done nobody can know.
        let left = match bar.position() {
            0 => String::new(),
            _ => format!(", about {} left", HumanDuration(bar.eta())),
        };
        bar.set_prefix(format!("round {} of {}{left}", at.before.0 + round + 1, self.rounds));
        bar.set_message(format!("{}, {} {}", at.scenario, grouped(at.count.into()), at.of));
    }

    /// What comes next in the round. It is drawn at once, so not while something is measured.
    pub(crate) fn doing(&self, what: &str) {
        let Some(bar) = &self.bar else { return };
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        bar.set_message(format!("{}, {} {}: {what}", at.scenario, grouped(at.count.into()), at.of));
    }

    pub(crate) fn starts(&self, run: &Run) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        (at.scenario, at.of, at.rounds) = (run.which.name(), run.which.of(), run.rounds + 1);
        match &self.bar {
            Some(bar) => bar.set_message(format!("{}, starting a server", at.scenario)),
            None => {
                let sizes: Vec<_> = run.sizes.iter().map(|size| grouped((*size).into())).collect();
                let (name, rounds) = (run.which.name(), rounds(run.rounds));
                complain(&format!("{name}: at {} {}, {rounds} each", sizes.join(" and "), at.of));
            }
        }
    }

    pub(crate) fn size(&self, count: u32) {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).count = count;
    }

    pub(crate) fn size_done(&self) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.before.0 += at.rounds;
        at.before.1 += cost(at.count, at.rounds);
        if let Some(bar) = &self.bar {
            bar.set_position(at.before.1);
        }
    }

    /// Does something that prints, with the bar out of its way.
    pub(crate) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    /// After a failure the error is the last word.
    fn drop(&mut self) {
        self.finish();
    }
}

fn cost(count: u32, rounds: u32) -> u64 {
    (u64::from(count) + BASE) * u64::from(rounds)
}
