//! P14, and that nobody ends or speaks in a way that nobody asked for.

use std::time::Duration;

use super::{Bench, millis};
use crate::facts::Span;
use crate::history::{Event, What, nanos};
use crate::plan::Kind;

const GRACEFUL: Duration = Duration::from_secs(2);
const UNREACHABLE: Duration = Duration::from_secs(3);

pub(super) fn judge(bench: &mut Bench<'_>) {
    graceful(bench);
    nobody_falls(bench);
    becomes_whole(bench);
}

/// P14: who is asked to end does so soon, with exit code 0, and leaves nothing.
fn graceful(bench: &mut Bench<'_>) {
    for (life, living) in &bench.facts.lives {
        let (Some(asked), Some(code)) = (living.asked_to_end, living.ended) else { continue };
        let who = life.who;
        let span = Span { from: asked, to: living.span.to };
        // Before that a signal ends it, as it ends every program that has not begun.
        let begun = living.said.iter().any(|(at, event)| **event == Event::Ready && *at < asked);
        // A connection that was broken a moment ago is broken still.
        let before = Span { from: asked.saturating_sub(nanos(bench.session() / 2)), to: span.to };
        let cut_off = bench
            .facts
            .broken(before)
            .any(|fault| fault.hits(who) && !matches!(fault.kind, Kind::Quit | Kind::Deregister));
        let limit = bench.limit(if cut_off { UNREACHABLE } else { GRACEFUL });
        let took = span.to - span.from;
        if took > limit {
            bench.found("P14", span.to, format!("{who} took {} to end", millis(took)));
        }
        if code != Some(0) && begun {
            bench.found("P14", span.to, format!("{who} was asked to end, and its exit code is {code:?}"));
        }
        let clean = matches!(living.said.last(), Some((_, Event::Bye { clean: true })));
        if !clean && !cut_off && begun {
            bench.found("P14", span.to, format!("{who} was asked to end, and did not end its session"));
        }
        let left = bench.facts.nodes.iter().find(|node| {
            node.owner.is_some_and(|owner| living.owns(owner)) && node.span.holds(living.span.to)
        });
        if let Some(node) = left.filter(|_| clean) {
            bench.found("P14", span.to, format!("{who} ended and left {}", node.path));
        }
    }
}

/// Nobody ends by itself, and everybody can be understood.
fn nobody_falls(bench: &mut Bench<'_>) {
    for (life, living) in &bench.facts.lives {
        let killed = bench.facts.faults.iter().any(|fault| {
            let kills = matches!(fault.kind, Kind::Kill | Kind::LostReplies);
            living.ended == Some(None) && kills && fault.hits(life.who) && fault.span.holds(living.span.to)
        });
        if living.ended.is_some() && living.asked_to_end.is_none() && !killed {
            bench.found("alive", living.span.to, format!("{} ended, and nobody had asked it to", life.who));
        }
    }
    for entry in &bench.facts.rest {
        if let What::Garbled { life, line } = &entry.what {
            bench.found("protocol", entry.at, format!("{} said {line:?}, which is no event", life.who));
        }
    }
}

/// What did not become whole at all.
fn becomes_whole(bench: &mut Bench<'_>) {
    for episode in &bench.facts.episodes {
        if let Some(missing) = &episode.missing {
            let waited = millis(episode.span.to - episode.healed);
            bench.found("whole", episode.span.to, format!("{waited} after all was mended {missing}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::judge::story::Story;
    use crate::plan::Kind;

    /// An instance that is asked to end, and does.
    fn ends(at: u64, code: Option<i32>) -> Story {
        let mut story = Story::default();
        story
            .starts(10, "i01")
            .ready(20, "i01")
            .connected(90, "i01", 0x11)
            .node(100, "i01", 0x11, 5)
            .registered(110, "i01", 0x11);
        story.asked_to_end(1000, "i01").bye(1020, "i01", true).ended(at, "i01", code);
        story
    }

    #[test]
    fn a_graceful_end_is_as_promised() {
        assert_eq!(ends(1030, Some(0)).deleted(1010, "i01", 0x11).promises(), [""; 0]);
    }

    #[test]
    fn an_end_that_takes_long_fails_or_leaves_something_is_found() {
        assert_eq!(ends(3100, Some(0)).deleted(1010, "i01", 0x11).promises(), ["P14"]);
        assert_eq!(
            ends(3100, Some(0)).deleted(1010, "i01", 0x11).fault(1, Kind::Outage, "", 900, 3200).promises(),
            [""; 0]
        );
        assert_eq!(ends(1030, None).deleted(1010, "i01", 0x11).promises(), ["P14"]);
        assert_eq!(ends(1030, Some(1)).deleted(1010, "i01", 0x11).promises(), ["P14"]);
        assert_eq!(ends(1030, Some(0)).expired(1040, 0x11).promises(), ["P14"]);
    }

    #[test]
    fn who_ends_unasked_is_found() {
        let begin = |code| {
            let mut story = Story::default();
            story.starts(10, "w01").ended(1000, "w01", code);
            story
        };
        assert_eq!(begin(Some(101)).promises(), ["alive"]);
        assert_eq!(begin(None).promises(), ["alive"]);
        assert_eq!(begin(None).fault(1, Kind::Kill, "w01", 999, 1500).promises(), [""; 0]);
        assert_eq!(begin(Some(101)).fault(1, Kind::Kill, "w01", 999, 1500).promises(), ["alive"]);
        assert_eq!(begin(Some(101)).asked_to_end(1001, "w01").promises(), ["alive"]);
    }

    #[test]
    fn what_does_not_become_whole_is_found() {
        let mut story = Story::default();
        story.act(900, "c01", 5, true).fault(1, Kind::Blip, "i01", 1000, 1100).act(1110, "c01", 5, true);
        story.stuck(1100, 1500, "i01 is not registered");
        assert_eq!(story.promises(), ["whole"]);
    }
}
