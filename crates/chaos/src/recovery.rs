//! How long it took until everything worked again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::facts::{Episode, Facts, Living};
use crate::history::{Event, Nanos, Source};
use crate::plan::Kind;
use crate::who::Role;

/// Times of one kind, shortest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times(Vec<Nanos>);

/// What is told of them, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Figures {
    pub(crate) median_ms: u64,
    pub(crate) p99_ms: u64,
    pub(crate) worst_ms: u64,
}

impl Times {
    fn add(&mut self, time: Nanos) {
        let place = self.0.partition_point(|earlier| *earlier <= time);
        self.0.insert(place, time);
    }

    /// None without any.
    pub(crate) fn figures(&self) -> Option<Figures> {
        // The smallest one that so many of a hundred do not exceed.
        let of_hundred = |many: usize| self.0[(self.0.len() * many).div_ceil(100).saturating_sub(1)];
        let millis = |time| u64::try_from(Duration::from_nanos(time).as_millis()).unwrap_or(u64::MAX);
        let worst = *self.0.last()?;
        Some(Figures {
            median_ms: millis(of_hundred(50)),
            p99_ms: millis(of_hundred(99)),
            worst_ms: millis(worst),
        })
    }
}

/// What one kind of fault costs, together with those that it came with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) faults: usize,
    /// The longest time without an act in each episode.
    pub(crate) nobody_led: Times,
    /// From the end of the last fault until all are registered.
    pub(crate) registered: Times,
    /// From the end of the last fault until all watchers see what is registered.
    pub(crate) seen: Times,
}

/// What was measured of one episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recovery {
    pub(crate) nobody_led: Nanos,
    /// From the end of the last fault to the next act.
    pub(crate) led: Nanos,
    pub(crate) registered: Nanos,
    pub(crate) seen: Nanos,
}

/// The cost of every kind of fault that came.
pub(crate) fn costs(facts: &Facts<'_>) -> BTreeMap<Kind, Cost> {
    let mut costs: BTreeMap<Kind, Cost> = BTreeMap::new();
    for episode in &facts.episodes {
        let faults = &facts.faults[episode.faults.clone()];
        for fault in faults {
            costs.entry(fault.kind).or_default().faults += 1;
        }
        let recovery = of(facts, episode);
        for kind in faults.iter().map(|fault| fault.kind).collect::<BTreeSet<_>>() {
            let cost = costs.entry(kind).or_default();
            cost.nobody_led.add(recovery.nobody_led);
            cost.registered.add(recovery.registered);
            cost.seen.add(recovery.seen);
        }
    }
    costs
}

pub(crate) fn of(facts: &Facts<'_>, episode: &Episode) -> Recovery {
    let end = episode.span.to;
    let since_healed = |at: Option<Nanos>| at.unwrap_or(end).saturating_sub(episode.healed);
    let first_act = facts.acts[facts.acts.partition_point(|act| act.at <= episode.healed)..]
        .iter()
        .find(|act| act.ok)
        .map(|act| act.at);
    let present =
        |role| facts.of_role(role).map(|(_, living)| living).filter(move |living| living.span.holds(end));
    let registered =
        present(Role::Instance).filter_map(|living| last_change(living, end, is_registration)).max();
    let seen = present(Role::Watcher).filter_map(|living| last_change(living, end, is_view)).max();
    Recovery {
        nobody_led: longest_gap(facts, episode),
        led: since_healed(first_act),
        registered: since_healed(registered),
        seen: since_healed(seen),
    }
}

/// The last such event before `end`.
fn last_change(living: &Living<'_>, end: Nanos, is: fn(&Event) -> bool) -> Option<Nanos> {
    let before = living.said.iter().rev().skip_while(|(at, _)| *at > end);
    before.into_iter().find(|(_, event)| is(event)).map(|(at, _)| *at)
}

fn is_registration(event: &Event) -> bool {
    matches!(event, Event::Registered { .. })
}

fn is_view(event: &Event) -> bool {
    matches!(event, Event::View { source: Source::Live, .. })
}

fn longest_gap(facts: &Facts<'_>, episode: &Episode) -> Nanos {
    let begin = facts.acts.partition_point(|act| act.at < episode.span.from);
    // The act before the first fault is the beginning of the first gap.
    let acts = facts.acts[begin.saturating_sub(1)..].iter().filter(|act| act.ok).map(|act| act.at);
    let mut last = None;
    let mut longest = 0;
    for at in acts.take_while(|at| *at <= episode.span.to).chain([episode.span.to]) {
        longest = longest.max(last.map_or(0, |last| at.saturating_sub(last)));
        last = Some(at);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_times_that_were_measured() {
        let mut times = Times::default();
        assert_eq!(times.figures(), None);
        for millis in (1..=200).rev() {
            times.add(millis * 1_000_000);
        }
        let figures = Figures { median_ms: 100, p99_ms: 198, worst_ms: 200 };
        assert_eq!(times.figures(), Some(figures));
    }

    #[test]
    fn a_single_time_is_all_figures() {
        let mut times = Times::default();
        times.add(7_000_000);
        assert_eq!(times.figures(), Some(Figures { median_ms: 7, p99_ms: 7, worst_ms: 7 }));
    }
}
