//! P18 and P28: what everybody takes from servers and from its machine.

use std::time::Duration;

use super::{Bench, millis};
use crate::facts::Connections;
use crate::history::{Nanos, nanos};

const SECOND: Duration = Duration::from_secs(1);
const CONNECTIONS_PER_SECOND: u64 = 10;
/// How much later than another a connection may be seen on a busy machine, for each time that is given besides what is promised.
const LATE: Duration = Duration::from_millis(200);

/// Shorter lives show how memory is first filled, not whether it grows.
const LONG_LIFE: Duration = Duration::from_secs(20 * 60);
/// Of what is used at the beginning of a long life, in hundredths.
const MOST_MEMORY: u64 = 110;
/// A connection that is being made, and one to the ledger.
const MORE_DESCRIPTORS: usize = 3;
/// Connections come and go with a task or two each.
const MORE_TASKS: usize = 2;

pub(super) fn judge(bench: &mut Bench<'_>) {
    for (life, living) in &bench.facts.lives {
        let who = life.who;
        let late = nanos(LATE.mul_f64(bench.slack - 1.0));
        if let Some((at, connections, took)) = hammering(&living.connections, late) {
            let what = format!("{who} made {connections} connections within {}", millis(took));
            bench.found("P18", at, what);
        }
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

/// The first of too many connections: when the last of them was seen, how many they were, and within how long.
///
/// Of what was dialed in some time, the first can be seen `late` and the last at once.
fn hammering(seen: &[Connections], late: Nanos) -> Option<(Nanos, u64, Nanos)> {
    seen.iter().enumerate().find_map(|(first, Connections { since, .. })| {
        let mut connections = 0;
        seen[first..].iter().find_map(|Connections { at, many, .. }| {
            connections += many;
            let took = at - since;
            let seconds = (took + late).div_ceil(nanos(SECOND));
            (connections > CONNECTIONS_PER_SECOND * seconds).then_some((*at, connections, took))
        })
    })
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
    use std::collections::BTreeMap;
    use std::ops::Range;

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

    /// What is seen of one who connects at these times, in ms, when everything is looked at every 50 ms but in some time, after which it
    /// is all there at once.
    fn connecting(times: impl IntoIterator<Item = u64>, late: Range<u64>) -> Story {
        let mut story = Story::default();
        story.starts(0, "w01");
        let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
        for time in times {
            let at = if late.contains(&time) { late.end } else { time };
            *seen.entry(at.next_multiple_of(50)).or_default() += 1;
        }
        for (at, many) in seen {
            story.connects(at.saturating_sub(50), at, "w01", many);
        }
        story
    }

    #[test]
    fn eleven_connections_within_a_second_are_found_and_ten_are_not() {
        let within = |many: u64, ms: u64| connecting((0..many).map(|nth| 100 + nth * ms / (many - 1)), 0..0);
        assert_eq!(within(10, 100).promises(), [""; 0]);
        assert_eq!(within(11, 850).promises(), ["P18"]);
        // Nobody knows when in those 50 ms it was.
        assert_eq!(within(11, 1000).promises(), [""; 0]);
        assert_eq!(within(32, 2_850).promises(), ["P18"]);
    }

    #[test]
    fn what_was_late_is_not_found_and_hammering_is() {
        // What `zk-session` does at most: three, one by the client itself, and one after the other.
        let most = |until: u64| [100; 3].into_iter().chain((100..until).step_by(150));
        assert_eq!(connecting(most(9_000), 0..0).promises(), [""; 0]);
        assert_eq!(connecting(most(9_000), 1_000..1_600).promises(), ["P18"]);
        for begin in (0..2_000).step_by(50) {
            let late = begin..begin + 600;
            assert_eq!(connecting(most(9_000), late.clone()).promises_with(4.0), [""; 0], "{late:?}");
        }
        // Three servers, and the shortest pause of a keeper that is in a hurry, for as long as it is.
        let round_after_round = (100..1_900).step_by(150).flat_map(|round| [round; 3]);
        assert_eq!(connecting(round_after_round, 0..0).promises_with(4.0), ["P18"]);
        // The client's own ones, where nobody counts them.
        let fourteen_a_second = (0..40).map(|nth| 100 + nth * 1_000 / 14);
        assert_eq!(connecting(fourteen_a_second, 0..0).promises_with(4.0), ["P18"]);
        assert_eq!(connecting([100; 11], 0..0).promises_with(4.0), ["P18"]);
    }

    #[test]
    fn each_life_may_connect_as_often() {
        let mut story = Story::default();
        story.starts(0, "w01").connects(500, 900, "w01", 7);
        // Nobody knows whose these are.
        story.starts_again(930, "w01").connects(900, 950, "w01", 9).connects(950, 1_000, "w01", 7);
        assert_eq!(story.promises(), [""; 0]);
        story.connects(1_500, 1_550, "w01", 4);
        assert_eq!(story.promises(), ["P18"]);
    }

    #[test]
    fn what_nobody_else_can_have_made_counts_from_the_first_moment() {
        let mut story = Story::default();
        story.starts(30, "w01").connects(0, 50, "w01", 11);
        assert_eq!(story.promises(), ["P18"]);
        let mut story = Story::default();
        story.starts(0, "w01").asked_to_end(870, "w01").bye(880, "w01", true).ended(890, "w01", Some(0));
        story.starts_again(930, "w01").connects(900, 950, "w01", 11);
        assert_eq!(story.promises(), ["P18"]);
    }
}
