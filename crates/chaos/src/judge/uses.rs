//! P18 and P28: what everybody takes from servers and from its machine.

use std::time::Duration;

use super::Bench;
use crate::history::{Nanos, What, nanos};

/// Shorter lives show how memory is first filled, not whether it grows.
const LONG_LIFE: Duration = Duration::from_secs(20 * 60);
/// Of what is used at the beginning of a long life, in hundredths.
const MOST_MEMORY: u64 = 110;
/// A connection that is being made, and one to the ledger.
const MORE_DESCRIPTORS: usize = 3;
/// Connections come and go with a task or two each.
const MORE_TASKS: usize = 2;

pub(super) fn judge(bench: &mut Bench<'_>) {
    for entry in &bench.facts.rest {
        if let What::Hammered { who, connections } = &entry.what {
            let what = format!("{who} made {connections} connections within a second");
            bench.found("P18", entry.at, what);
        }
    }
    for (life, living) in &bench.facts.lives {
        let who = life.who;
        if let Some((at, first, last)) = descriptors(&living.uses)
            && last > first + MORE_DESCRIPTORS
        {
            bench.found(
                "P28",
                at,
                format!("{who} had {first} descriptors at most and then always {last} or more"),
            );
        }
        if let Some((at, first, last)) = memory(&living.uses)
            && last * 100 > first * MOST_MEMORY
        {
            bench.found("P28", at, format!("{who} used {first} KiB at first and {last} KiB at last"));
        }
        if let [(_, first), .., (at, last)] = living.tasks()[..]
            && last > first + MORE_TASKS
        {
            bench.found("P28", at, format!("{who} had {first} tasks at first and {last} at last"));
        }
    }
}

/// How many descriptors there were at most in the first quarter of the measures, and at least in the last quarter: what comes and goes with
/// connections is no leak.
fn descriptors(uses: &[(Nanos, usize, u64)]) -> Option<(Nanos, usize, usize)> {
    let (first, last) = (&uses[..uses.len().div_ceil(4)], &uses[uses.len() * 3 / 4..]);
    let most = first.iter().map(|(_, descriptors, _)| *descriptors).max()?;
    let least = last.iter().map(|(_, descriptors, _)| *descriptors).min()?;
    Some((last.last()?.0, most, least))
}

/// How much a long life used early on and at its end, as medians, and when that was.
pub(crate) fn memory(uses: &[(Nanos, usize, u64)]) -> Option<(Nanos, u64, u64)> {
    let (&(begin, ..), &(end, ..)) = (uses.first()?, uses.last()?);
    if end - begin < nanos(LONG_LIFE) {
        return None;
    }
    // When it has seen every fault a few times, memory is as full as it gets.
    let part = |from: u64, to: u64| {
        let within = |at: Nanos| (from..=to).contains(&((at - begin) * 100 / (end - begin)));
        let mut all: Vec<_> = uses.iter().filter(|(at, ..)| within(*at)).map(|(.., rss)| *rss).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied()
    };
    Some((end, part(10, 25)?, part(85, 100)?))
}

#[cfg(test)]
mod tests {
    use crate::judge::story::Story;

    #[test]
    fn descriptors_and_tasks_that_grow_are_found() {
        let mut story = Story::default();
        story.starts(10, "w01").uses(100, "w01", 12, 9000).uses(9000, "w01", 15, 9000);
        story.tasks(100, "w01", 5).tasks(9000, "w01", 7);
        assert_eq!(story.promises(), [""; 0]);
        story.uses(9500, "w01", 16, 9000).tasks(9500, "w01", 8);
        assert_eq!(story.promises(), ["P28", "P28"]);
    }

    #[test]
    fn memory_that_grows_over_a_long_life_is_found() {
        let begin = |length: u64, grows: u64| {
            let mut story = Story::default();
            story.starts(10, "w01");
            for step in 0..=100 {
                story.uses(20 + step * length / 100, "w01", 12, 9000 + grows * step);
            }
            story
        };
        assert_eq!(begin(30 * 60 * 1000, 9).promises(), [""; 0]);
        assert_eq!(begin(30 * 60 * 1000, 15).promises(), ["P28"]);
        assert_eq!(begin(60 * 1000, 15).promises(), [""; 0]);
    }

    #[test]
    fn too_many_connections_are_found() {
        assert_eq!(Story::default().hammered(1000, "w01", 12).promises(), ["P18"]);
    }
}
