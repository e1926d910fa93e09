//! How much memory does a process need that follows a large service?

use super::steps::mebibytes;
use crate::bench::outside::writer::{fill, replace};
use crate::bench::processes::{Ask, Child, Fingerprint, Memory, Who};
use crate::bench::report::{Figure, Limit, Ratio, Report};
use crate::bench::stage::{Stage, instances};

/// Fewer instances are less than what two processes of the same program differ by.
const ENOUGH: u32 = 1_000;

/// What one process needed.
struct Figures {
    first: Figure,
    first_peak: Figure,
    churned: Figure,
    churned_peak: Figure,
    each: Figure,
}

impl Figures {
    fn new(who: &str) -> Self {
        let figure = |what: &str, unit| Figure::new(format!("{who}: {what}"), unit);
        Self {
            first: figure("resident after its first list", "MiB"),
            first_peak: figure("the most up to its first list", "MiB"),
            churned: figure("resident after all were replaced", "MiB"),
            churned_peak: figure("the most up to the end", "MiB"),
            each: figure("for each instance after its first list, above one that follows nothing", "bytes"),
        }
    }

    fn push(&mut self, empty: Memory, first: Memory, churned: Memory, count: u32) {
        self.first.push(mebibytes(first.resident_kb));
        self.first_peak.push(mebibytes(first.peak_kb));
        self.churned.push(mebibytes(churned.resident_kb));
        self.churned_peak.push(mebibytes(churned.peak_kb));
        if count >= ENOUGH {
            let more = first.resident_kb as f64 - empty.resident_kb as f64;
            self.each.push(more * 1024.0 / f64::from(count));
        }
    }

    fn list(self) -> [Figure; 5] {
        [self.first, self.first_peak, self.churned, self.churned_peak, self.each]
    }
}

/// Measures processes that follow so many instances.
pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report> {
    let (mut ours, mut raw) = (Figures::new("`follow`"), Figures::new("bare client"));
    let mut empty = Figure::new("`follow`: resident with nothing to follow", "MiB");
    for round in 0..=rounds {
        stage.progress().round(round);
        for (who, figures) in [(Who::Registry, &mut ours), (Who::BareClient, &mut raw)] {
            let (nothing, first, churned) = once(stage, who, count, round).await?;
            if round > 0 {
                figures.push(nothing, first, churned, count);
                if who == Who::Registry {
                    empty.push(mebibytes(nothing.resident_kb));
                }
            }
        }
    }
    let limit = most(count).map_or(Limit::None, Limit::AtMost);
    let ratios = vec![
        Ratio::new("resident after the first list, MiB", ours.first.values.clone(), limit),
        Ratio::new("resident after all were replaced, MiB", ours.churned.values.clone(), limit),
        Ratio::new("the most of all the time, MiB", ours.churned_peak.values.clone(), Limit::None),
        Ratio::new("after the first list, `follow` / bare client", ours.first.per(&raw.first), Limit::None),
        Ratio::new(
            "after all were replaced, `follow` / bare client",
            ours.churned.per(&raw.churned),
            Limit::None,
        ),
    ];
    Ok(Report {
        name: "memory",
        title: "Memory of a process that follows a service".to_owned(),
        about: "What the system says of a process of its own that does nothing but follow (VmRSS, and VmHWM for the most up to \
                then): after its first list, and after somebody else's session has replaced all by others, 256 at a time and never more than a tenth of all. All \
                instances are present each time, or the run fails. The bare client keeps names and undecoded values. Not every \
                byte of it is data: the program itself, and what the allocator keeps, are in it; for each instance it is told from 1,000 on, since fewer are less than what two \
                processes of the same program differ by."
            .to_owned(),
        server: stage.server().await?,
        rounds,
        figures: [empty].into_iter().chain(ours.list()).chain(raw.list().map(Figure::bare)).collect(),
        ratios,
    })
}

/// With nothing to follow, after the first list, and after all were replaced.
async fn once(stage: &Stage, who: Who, count: u32, round: u32) -> anyhow::Result<(Memory, Memory, Memory)> {
    let nothing = stage.service(&format!("memory-{round}-{who:?}-nothing")).await?;
    let mut follower = Child::start(&who.follows(stage.connect(), &nothing))?;
    let nothing = follower.ask(&Ask::Whole { len: 0 }).await?.memory;
    follower.stop().await?;

    let service = stage.service(&format!("memory-{round}-{who:?}")).await?;
    let mut before = instances(2 * count)?;
    let after = before.split_off(count.try_into()?);
    let truths = (Fingerprint::of(&before)?, Fingerprint::of(&after)?);
    let (before, after) = (stage.nodes(&service, &before)?, stage.nodes(&service, &after)?);
    let writer = stage.raw().await?;
    fill(&writer, &before).await?;
    let mut follower = Child::start(&who.follows(stage.connect(), &service))?;
    let first = follower.ask(&Ask::Settles { fingerprint: truths.0 }).await?.memory;
    replace(&writer, &before, &after).await?;
    let churned = follower.ask(&Ask::Settles { fingerprint: truths.1 }).await?.memory;
    follower.stop().await?;
    Ok((nothing, first, churned))
}

/// How much may be resident, in MiB.
fn most(count: u32) -> Option<f64> {
    match count {
        0..=10_000 => Some(25.0),
        10_001..=100_000 => Some(100.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_resident_is_known_for_the_sizes_that_it_was_promised_for() {
        let of = [100, 10_000, 10_001, 100_000, 100_001].map(most);
        assert_eq!(of, [Some(25.0), Some(25.0), Some(100.0), Some(100.0), None]);
    }

    #[test]
    fn bytes_for_each_are_those_above_a_process_that_follows_nothing() {
        let mut figures = Figures::new("x");
        let [empty, first, churned] = [(1024, 2048), (3072, 4096), (5120, 6144)]
            .map(|(resident_kb, peak_kb)| Memory { resident_kb, peak_kb });
        figures.push(empty, first, churned, 1024);
        assert_eq!((figures.first.values[0], figures.churned_peak.values[0]), (3.0, 6.0));
        assert_eq!(figures.each.values, [2048.0]);
        figures.push(empty, first, churned, 999);
        assert_eq!(figures.each.values, [2048.0], "of so few it would say nothing");
    }
}
