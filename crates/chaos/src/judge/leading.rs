//! P1 to P5: who acts as the leader.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Bench, DATING, millis};
use crate::facts::{Act, Belief, Facts, Fault, Span};
use crate::history::{Nanos, nanos};
use crate::plan::Kind;
use crate::who::Who;

/// After a stopped process goes on, before it knows that it leads no more.
const AWAKE: Duration = Duration::from_millis(250);

pub(super) fn judge(bench: &mut Bench<'_>) {
    stale_acts(bench);
    two_leaders(bench);
    out_of_turn(bench);
    tokens(bench);
    cut_off_leaders(bench);
}

/// The pauses of a process that were over at some time, or that it was in.
fn pauses<'a>(facts: &'a Facts<'_>, who: Who) -> impl Iterator<Item = &'a Fault> {
    facts.faults.iter().filter(move |fault| fault.kind == Kind::Pause && fault.hits(who))
}

/// Whether somebody deleted its node within a span: nobody promises that it knows before the next one does.
fn deleted_by_hand(facts: &Facts<'_>, who: Who, span: Span) -> bool {
    let mut deletions = facts.broken(span).filter(|fault| fault.kind == Kind::NodeDeleted);
    deletions.any(|fault| fault.hits(who))
}

/// P1, P2, P4: whoever acts has the greatest token. What a stopped process had in flight may be turned away, once.
fn stale_acts(bench: &mut Bench<'_>) {
    let mut max = 0;
    let mut in_flight: Vec<u32> = Vec::new();
    let mut refused: BTreeMap<(Who, i64), Nanos> = BTreeMap::new();
    for &Act { at, who, token, ok } in &bench.facts.acts {
        if ok && token < max {
            bench.found(
                "P4",
                at,
                format!("the ledger accepted an act of {who} with token {token} after {max}"),
            );
        }
        if let Some(first) = refused.get(&(who, token)) {
            let later = millis(at - first);
            bench.found("P4", at, format!("{who} acted with token {token} {later} after it was refused"));
        }
        if !ok {
            refused.entry((who, token)).or_insert(at);
            let awake = bench.limit(AWAKE);
            let deleted = deleted_by_hand(bench.facts, who, Span { from: at.saturating_sub(awake), to: at });
            let pause = pauses(bench.facts, who).find(|pause| {
                pause.span.from <= at && at < pause.span.to + awake && !in_flight.contains(&pause.id)
            });
            match pause.map(|pause| pause.id) {
                Some(pause) => in_flight.push(pause),
                None if deleted => {}
                None => {
                    bench.found("P1", at, format!("{who} acted with token {token}, when {max} had acted"));
                }
            }
        }
        max = max.max(token);
    }
}

/// P1, P2: nobody holds itself to be the leader while another one does, except while it is stopped and right after.
fn two_leaders(bench: &mut Bench<'_>) {
    let beliefs = bench.facts.beliefs();
    for (place, first) in beliefs.iter().enumerate() {
        let later = beliefs[place + 1..].iter().take_while(|second| second.span.from < first.span.to);
        for second in later.filter(|second| second.life.who != first.life.who || second.token != first.token)
        {
            let overlap = Span { from: second.span.from, to: first.span.to.min(second.span.to) };
            if !could_not_know(bench, first, overlap) {
                let what = format!(
                    "{} led with token {} for {} while {} did with token {}",
                    first.life.who,
                    first.token,
                    millis(overlap.to - overlap.from),
                    second.life.who,
                    second.token
                );
                bench.found("P1", overlap.from, what);
            }
        }
    }
}

/// P1: whoever leads has nobody ahead of it, and whoever acts leads.
fn out_of_turn(bench: &mut Bench<'_>) {
    let (dating, late) = (bench.limit(DATING), bench.limit(AWAKE));
    let facts = bench.facts;
    for belief in facts.beliefs() {
        let from = belief.span.from;
        let ahead = facts.candidates().find(|(_, node)| {
            node.czxid < belief.token && node.span.from < from && node.span.to > from + dating
        });
        if let Some((who, node)) = ahead {
            let what = format!(
                "{} leads with token {} when {who} was ahead with {}",
                belief.life.who, belief.token, node.czxid
            );
            bench.found("P1", from, what);
        }
    }
    for act in facts.acts.iter().filter(|act| act.ok) {
        let mut lives = facts.lives.iter().filter(|(life, _)| life.who == act.who).peekable();
        let known = lives.peek().is_some();
        let leads = lives.flat_map(|(_, living)| &living.beliefs).any(|belief| {
            let span = Span { from: belief.span.from.saturating_sub(late), to: belief.span.to + late };
            belief.token == act.token && span.holds(act.at)
        });
        if known && !leads {
            bench.found(
                "P1",
                act.at,
                format!("{} acted with token {}, and did not lead", act.who, act.token),
            );
        }
    }
}

/// Whether it was stopped when the other one began, or its node deleted by hand a moment before, and it knew soon after that.
fn could_not_know(bench: &Bench<'_>, belief: &Belief, overlap: Span) -> bool {
    let awake = bench.limit(AWAKE);
    let before = Span { from: overlap.from.saturating_sub(awake), to: overlap.from + 1 };
    if deleted_by_hand(bench.facts, belief.life.who, before) {
        return overlap.to <= overlap.from + awake;
    }
    pauses(bench.facts, belief.life.who)
        .any(|pause| pause.span.holds(overlap.from) && belief.span.to <= pause.span.to + awake)
}

/// P3: the token is the transaction that made the candidate's node; it belongs to one, and grows.
fn tokens(bench: &mut Bench<'_>) {
    let mut last: Option<&Belief> = None;
    for belief in bench.facts.beliefs() {
        let Belief { life, token, path, session, span, .. } = belief;
        let mut nodes = bench.facts.nodes.iter().filter(|node| node.czxid == *token);
        if !nodes.any(|node| node.path == *path && node.owner == Some(*session)) {
            let what = format!("the token {token} of {} is not the transaction that made {path}", life.who);
            bench.found("P3", span.from, what);
        }
        if let Some(before) = last {
            let again = (before.token, &before.path) == (*token, path);
            if *token <= before.token && !again {
                let what = format!(
                    "{} leads with token {token} after {} with {}",
                    life.who, before.life.who, before.token
                );
                bench.found("P3", span.from, what);
            }
        }
        last = Some(belief);
    }
}

/// P5: who reaches no server stops leading before its session can be over.
fn cut_off_leaders(bench: &mut Bench<'_>) {
    // Not stretched: a leader that is late has none.
    let limit = nanos(bench.session());
    let alone = |fault: &&Fault| fault.kind.separates() || fault.kind == Kind::Outage;
    let cuts: Vec<_> = bench.facts.faults.iter().filter(alone).collect();
    for cut in cuts {
        let deadline = cut.span.from + limit;
        // What else happens to the same process does not help it.
        for belief in bench.facts.beliefs() {
            let led_on = belief.span.from <= cut.span.from && belief.span.to > deadline;
            if led_on && cut.span.to > deadline && cut.hits(belief.life.who) {
                let stopped = pauses(bench.facts, belief.life.who).any(|pause| pause.span.holds(deadline));
                if !stopped {
                    let after = millis(belief.span.to - cut.span.from);
                    let what = format!("{} led for {after} after it was cut off", belief.life.who);
                    bench.found("P5", deadline, what);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::judge::story::Story;
    use crate::plan::Kind;

    /// Two leaders one after the other, as it should be.
    fn two_in_turn() -> Story {
        let mut story = Story::default();
        story.candidate("c01", 0x11).candidate("c02", 0x22);
        story.node(100, "c01-0000000001", 0x11, 5).node(100, "c02-0000000002", 0x22, 6);
        story.leads(200, "c01", 5, "c01-0000000001", 0x11).act(210, "c01", 5, true);
        story.led(1000, "c01", 5, "lease-ended").expired(2450, 0x11);
        story.leads(2500, "c02", 6, "c02-0000000002", 0x22).act(2510, "c02", 6, true);
        story
    }

    #[test]
    fn leaders_in_turn_are_as_promised() {
        assert_eq!(two_in_turn().promises(), [""; 0]);
    }

    #[test]
    fn a_stale_act_is_found() {
        let mut story = two_in_turn();
        story.act(2520, "c01", 5, false);
        assert_eq!(story.promises(), ["P1"]);
    }

    #[test]
    fn what_a_stopped_leader_had_in_flight_may_be_refused_once() {
        let mut story = two_in_turn();
        story.fault(1, Kind::Pause, "c01", 900, 3000).act(3010, "c01", 5, false);
        assert_eq!(story.promises(), [""; 0]);
        story.act(3020, "c01", 5, false);
        assert_eq!(story.promises(), ["P1", "P4"]);
    }

    #[test]
    fn a_stale_act_that_counts_is_found() {
        let mut story = two_in_turn();
        story.act(2520, "c01", 5, true);
        assert_eq!(story.promises(), ["P1", "P4"]);
    }

    #[test]
    fn who_leads_before_its_turn_or_acts_without_leading_is_found() {
        let mut story = Story::default();
        story.candidate("c01", 0x11).candidate("c02", 0x22);
        story.node(100, "c01-0000000001", 0x11, 5).node(100, "c02-0000000002", 0x22, 6);
        story.leads(2500, "c02", 6, "c02-0000000002", 0x22);
        assert_eq!(story.promises(), ["P1"]);
        story.expired(2490, 0x11);
        assert_eq!(story.promises(), [""; 0]);
        story.act(4000, "c01", 5, true);
        assert_eq!(story.promises(), ["P1"]);
    }

    #[test]
    fn two_leaders_at_a_time_are_found_unless_one_was_stopped() {
        let begin = || {
            let mut story = Story::default();
            story.candidate("c01", 0x11).candidate("c02", 0x22);
            story.node(100, "c01-0000000001", 0x11, 5).node(100, "c02-0000000002", 0x22, 6);
            story.leads(200, "c01", 5, "c01-0000000001", 0x11);
            story.leads(2500, "c02", 6, "c02-0000000002", 0x22).led(2600, "c01", 5, "session-ended");
            story.expired(2490, 0x11);
            story
        };
        assert_eq!(begin().promises(), ["P1"]);
        assert_eq!(begin().fault(1, Kind::Pause, "c01", 300, 2500).promises(), ["P1"]);
        assert_eq!(begin().fault(1, Kind::Pause, "c01", 300, 2550).promises(), [""; 0]);
        assert_eq!(begin().fault(1, Kind::Pause, "c02", 300, 2550).promises(), ["P1"]);
        // Its node was deleted under it.
        assert_eq!(begin().fault(1, Kind::NodeDeleted, "c01", 2490, 2495).promises(), [""; 0]);
        assert_eq!(begin().fault(1, Kind::NodeDeleted, "c01", 2090, 2095).promises(), ["P1"]);
        // It went on for 250 ms and more.
        assert_eq!(
            begin().fault(1, Kind::Pause, "c01", 300, 2510).led(2765, "c01", 5, "x").promises().len(),
            0
        );
    }

    #[test]
    fn a_token_that_is_not_the_nodes_or_does_not_grow_is_found() {
        let mut story = two_in_turn();
        story.led(3000, "c02", 6, "lease-ended").leads(3100, "c02", 6, "c02-0000000002", 0x22);
        assert_eq!(story.promises(), [""; 0]);
        story.led(3200, "c02", 6, "lease-ended").leads(3300, "c01", 5, "c01-0000000001", 0x11);
        assert_eq!(story.promises(), ["P3"]);
        let mut story = two_in_turn();
        story.led(3000, "c02", 6, "node-deleted").leads(3100, "c02", 7, "c02-0000000002", 0x22);
        assert_eq!(story.promises(), ["P1", "P3"]);
    }

    #[test]
    fn a_leader_that_goes_on_when_it_is_cut_off_is_found() {
        let begin = || {
            let mut story = Story::default();
            story.candidate("c01", 0x11).node(100, "c01-0000000001", 0x11, 5);
            story.leads(200, "c01", 5, "c01-0000000001", 0x11);
            story
        };
        assert_eq!(begin().fault(1, Kind::StallToServer, "c01", 1000, 4000).promises(), ["P5"]);
        assert_eq!(
            begin().fault(1, Kind::Cut, "c01", 1000, 4000).led(2900, "c01", 5, "lease-ended").promises(),
            [""; 0]
        );
        assert_eq!(begin().fault(1, Kind::Cut, "c01", 1000, 2900).promises(), [""; 0]);
        assert_eq!(begin().fault(1, Kind::Cut, "c02", 1000, 4000).promises(), [""; 0]);
        assert_eq!(begin().fault(1, Kind::Outage, "server 1", 1000, 4000).promises(), ["P5"]);
    }
}
