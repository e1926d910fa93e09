//! P6 to P8: that somebody leads, and how leadership passes on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Bench, millis};
use crate::facts::Span;
use crate::history::nanos;
use crate::plan::Kind;
use crate::recovery;
use crate::who::Role;

const AFTER_OUTAGE: Duration = Duration::from_secs(2);
const AFTER_DEATH: Duration = Duration::from_millis(500);
/// So many faults should have hit whoever led.
const MANY: usize = 25;
const HAND_OVER: Duration = Duration::from_millis(500);

pub(super) fn judge(bench: &mut Bench<'_>) {
    somebody_leads(bench);
    hand_over(bench);
    one_node_each(bench);
    several_led(bench);
}

/// A run in which nobody ever took over from another says little of elections.
fn several_led(bench: &mut Bench<'_>) {
    let led: BTreeSet<_> = bench.facts.beliefs().iter().map(|belief| belief.token).collect();
    if bench.facts.faults.len() >= MANY && led.len() < 2 {
        bench.found(
            "coverage",
            bench.facts.span.to,
            "leadership never passed on, so that little was seen of elections",
        );
    }
}

/// P6: after everything was mended within T + 2 s; when one leader alone broke within T + 2 ticks + 500 ms.
fn somebody_leads(bench: &mut Bench<'_>) {
    let (mended, alone) =
        (bench.limit(bench.session() + AFTER_OUTAGE), bench.limit(bench.expiry() + AFTER_DEATH));
    for episode in &bench.facts.episodes {
        let recovery = recovery::of(bench.facts, episode);
        if recovery.led > mended {
            bench.found(
                "P6",
                episode.healed,
                format!("nobody led for {} after all was mended", millis(recovery.led)),
            );
        }
        let of_candidates = |name: &String| name.starts_with('c');
        let faults = &bench.facts.faults[episode.faults.clone()];
        let servers = faults.iter().any(|fault| fault.kind.is_of_servers());
        let candidates = faults.iter().flat_map(|fault| &fault.on).filter(|name| of_candidates(name)).count();
        if !servers && candidates <= 1 && recovery.nobody_led > alone {
            let what = format!("nobody led for {} when one candidate broke", millis(recovery.nobody_led));
            bench.found("P6", episode.span.from, what);
        }
    }
}

/// P7: who is asked to end while it leads hands over at once, if it and the servers can.
fn hand_over(bench: &mut Bench<'_>) {
    let limit = bench.limit(HAND_OVER);
    for (life, living) in bench.facts.of_role(Role::Candidate) {
        let Some(asked) =
            living.asked_to_end.filter(|asked| living.beliefs.iter().any(|belief| belief.span.holds(*asked)))
        else {
            continue;
        };
        let span = Span { from: asked, to: asked + limit };
        // A connection that was broken a moment ago is broken still.
        let before = Span { from: asked.saturating_sub(nanos(bench.session() / 2)), to: span.to };
        let others = bench.facts.broken(before).any(|fault| {
            let own = fault.kind == Kind::Quit && fault.hits(life.who);
            !own && (fault.kind.is_of_servers() || fault.on.iter().any(|name| name.starts_with('c')))
        });
        // At the end of the run there is nobody to hand over to.
        let last = bench.facts.episodes.last().is_none_or(|episode| asked > episode.span.to);
        let next = bench.facts.acts.iter().find(|act| act.at > asked && act.ok && act.who != life.who);
        if !others && !last && next.is_none_or(|act| act.at > span.to) {
            let after = next.map_or("no more".to_owned(), |act| format!("after {}", millis(act.at - asked)));
            bench.found(
                "P7",
                asked,
                format!("{} was asked to end while it led, and the next one acted {after}", life.who),
            );
        }
    }
}

/// P8: when all is well each candidate has one node.
fn one_node_each(bench: &mut Bench<'_>) {
    for episode in bench.facts.episodes.iter().filter(|episode| episode.missing.is_none()) {
        let mut nodes: BTreeMap<_, usize> = BTreeMap::new();
        for (who, node) in bench.facts.candidates() {
            let owned = bench.facts.lives.iter().any(|(life, living)| {
                life.who == who
                    && living.span.holds(episode.span.to)
                    && node.owner.is_some_and(|it| living.owns(it))
            });
            if node.span.holds(episode.span.to) && owned {
                *nodes.entry(who).or_default() += 1;
            }
        }
        for (who, many) in nodes.into_iter().filter(|(_, many)| *many > 1) {
            bench.found("P8", episode.span.to, format!("{who} has {many} nodes in the line"));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::judge::story::Story;
    use crate::plan::Kind;

    #[test]
    fn a_long_time_without_a_leader_is_found() {
        let begin = |kind, next| {
            let mut story = Story::default();
            story.act(900, "c01", 5, true).fault(1, kind, "c01", 1000, 1100).act(next, "c02", 6, true);
            story.episode(1100, next + 100);
            story
        };
        assert_eq!(begin(Kind::Kill, 3700).promises(), [""; 0]);
        assert_eq!(begin(Kind::Kill, 3900).promises(), ["P6"]);
        assert_eq!(begin(Kind::Outage, 5000).promises(), [""; 0]);
        assert_eq!(begin(Kind::Outage, 5200).promises(), ["P6"]);
    }

    #[test]
    fn a_slow_hand_over_is_found() {
        let begin = |next| {
            let mut story = Story::default();
            story.candidate("c01", 0x11).node(100, "c01-0000000001", 0x11, 5);
            story.leads(200, "c01", 5, "c01-0000000001", 0x11).act(900, "c01", 5, true);
            story
                .fault(1, Kind::Quit, "c01", 1000, 1100)
                .asked_to_end(1000, "c01")
                .led(1001, "c01", 5, "resigned");
            story.deleted(1002, "c01-0000000001", 0x11).bye(1009, "c01", true).ended(1010, "c01", Some(0));
            story.act(next, "c02", 6, true).episode(1100, next + 100);
            story
        };
        assert_eq!(begin(1400).promises(), [""; 0]);
        assert_eq!(begin(1600).promises(), ["P7"]);
    }

    #[test]
    fn a_candidate_with_two_nodes_is_found() {
        let mut story = Story::default();
        story.candidate("c01", 0x11).node(100, "c01-0000000001", 0x11, 5).node(
            150,
            "c01-0000000003",
            0x11,
            7,
        );
        story.fault(1, Kind::Blip, "c01", 1000, 1100).act(1150, "c04", 5, true).episode(1100, 1200);
        assert_eq!(story.promises(), ["P8"]);
        story.deleted(1190, "c01-0000000003", 0x11);
        assert_eq!(story.promises(), [""; 0]);
    }
}
