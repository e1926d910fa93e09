//! P10 to P17: whose node there is, and whose there is not.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Bench, DATING, millis};
use crate::facts::{Facts, Node, Span};
use crate::history::{Event, SessionId, SessionState, nanos};
use crate::plan::Kind;
use crate::who::{Role, Who};

const REGISTERED_AGAIN: Duration = Duration::from_secs(1);
const DEAD: Duration = Duration::from_millis(100);
const RESTORED: Duration = Duration::from_secs(2);

/// A server may answer by what it knew a while ago, and an answer is on its way.
const NEWS: Duration = Duration::from_secs(1);

pub(super) fn judge(bench: &mut Bench<'_>) {
    made_once(bench);
    same_session(bench);
    registered_again(bench);
    kept(bench);
    dead_ones_go(bench);
    gone_for_good(bench);
    restored(bench);
}

/// Those who delete nodes of others on purpose, and those who deleted this one.
fn deleted_by_others(facts: &Facts<'_>, who: Who, node: &Node) -> bool {
    node.deleted_by.is_some_and(|by| {
        Some(by) != node.owner && !facts.lives.iter().any(|(life, living)| life.who == who && living.owns(by))
    })
}

/// P10, P11: a session makes its node once, however often its connection breaks, and once more for each time that others delete it.
fn made_once(bench: &mut Bench<'_>) {
    let mut made: BTreeMap<(Who, SessionId), (usize, usize)> = BTreeMap::new();
    for (who, node) in bench.facts.instances() {
        let Some(owner) = node.owner else { continue };
        let (times, lost) = made.entry((who, owner)).or_default();
        if *times > *lost {
            bench.found(
                "P11",
                node.span.from,
                format!("{who} made its node again in the session {}", String::from(owner)),
            );
        }
        *times += 1;
        *lost += usize::from(deleted_by_others(bench.facts, who, node));
    }
}

/// P10: who has a new session is registered within a second, if nothing breaks meanwhile.
fn registered_again(bench: &mut Bench<'_>) {
    let limit = bench.limit(REGISTERED_AGAIN);
    for (life, living) in bench.facts.of_role(Role::Instance) {
        let mut before = None;
        for (at, _, session) in living.sessions().filter(|(_, state, _)| *state == SessionState::Connected) {
            let anew = before.replace(session) != Some(session);
            let span = Span { from: at, to: at + limit };
            let undisturbed = living.span.to > span.to
                && living.asked_to_end.is_none_or(|asked| asked > span.to)
                && living.withdrawn.is_none_or(|at| at > span.to)
                && !bench.facts.broken(span).any(|fault| fault.hits(life.who));
            let registered = living.said.iter().any(|(at, event)| {
                matches!(event, Event::Registered { session_id, .. } if *session_id == session)
                    && *at < span.to
            });
            // Thirty processes that begin at once, beside servers that just did, are no fault.
            let begins = at < bench.facts.begun;
            if anew && !begins && undisturbed && !registered {
                let what =
                    format!("{} was not registered {} after it had a new session", life.who, millis(limit));
                bench.found("P10", at, what);
            }
        }
    }
}

/// P11: a connection that breaks for less than a fifth of a session, or again and again, does not cost the session.
fn same_session(bench: &mut Bench<'_>) {
    let facts = bench.facts;
    // A machine that is slow to reconnect makes a longer cut of a short one.
    let longest = nanos(bench.session() / 5) as f64 / bench.slack;
    for cut in facts.faults.iter().filter(|fault| fault.kind == Kind::Blip) {
        let around = Span {
            from: cut.span.from.saturating_sub(nanos(bench.session())),
            to: cut.span.to + nanos(bench.session()),
        };
        for (life, living) in facts.lives.iter().filter(|(life, _)| cut.hits(life.who)) {
            let others = facts.broken(around).any(|fault| fault.id != cut.id && fault.hits(life.who));
            let all_along = living.span.from < around.from && living.span.to > around.to;
            if others || !all_along || (cut.span.to - cut.span.from) as f64 > longest {
                continue;
            }
            let within = |span: Span| living.sessions().filter(move |(at, ..)| span.holds(*at));
            let before = living.sessions().take_while(|(at, ..)| *at < cut.span.from).last();
            let other = within(around).find(|(.., id)| before.is_some_and(|(.., before)| before != *id));
            if let Some((at, _, id)) = other {
                bench.found(
                    "P11",
                    at,
                    format!("{} had the new session {} after a short cut", life.who, String::from(id)),
                );
            }
            let lost = living.beliefs.iter().find(|belief| {
                belief.span.from < cut.span.from
                    && around.holds(belief.span.to)
                    && belief.span.to >= cut.span.from
                    && belief.reason.is_some()
            });
            if let Some(belief) = lost {
                bench.found("P11", belief.span.to, format!("{} led no more after a short cut", life.who));
            }
        }
    }
}

/// P12: who is registered stays so until its session is over, or it or a later one of its name gives it up.
fn kept(bench: &mut Bench<'_>) {
    let (dating, news) = (bench.limit(DATING), bench.limit(NEWS));
    for (life, living) in bench.facts.of_role(Role::Instance) {
        for (at, event) in &living.said {
            let Event::Registered { session_id, .. } = event else { continue };
            let there = bench.facts.instances().any(|(who, node)| {
                // One that others delete may be gone when it is told of.
                let late = if deleted_by_others(bench.facts, who, node) { news } else { dating };
                let then = Span { from: at.saturating_sub(late), to: *at + dating };
                who == life.who && node.owner == Some(*session_id) && node.span.meets(then)
            });
            if !there {
                bench.found("P12", *at, format!("{} said that it is registered, and had no node", life.who));
            }
        }
    }
    for (who, node) in bench.facts.instances() {
        let on_purpose = |by: SessionId| {
            let its_own = bench.facts.lives.iter().any(|(life, living)| life.who == who && living.owns(by));
            let faults = bench.facts.faults.iter().filter(|fault| fault.kind == Kind::NodeDeleted);
            // The deletion follows the beginning of the fault, by the clock of the servers.
            let mut near = faults.filter(|fault| {
                let around =
                    Span { from: fault.span.from.saturating_sub(dating), to: fault.span.to + dating };
                fault.hits(who) && around.holds(node.span.to)
            });
            its_own || near.next().is_some()
        };
        if let Some(by) = node.deleted_by.filter(|by| !on_purpose(*by)) {
            let what = format!("the node of {who} was deleted by the session {}", String::from(by));
            bench.found("P12", node.span.to, what);
        }
    }
}

/// P13: the node of a process that died goes when its session does.
fn dead_ones_go(bench: &mut Bench<'_>) {
    let limit = bench.limit(bench.expiry() + DEAD);
    for (life, living) in bench.facts.lives.iter().filter(|(_, living)| living.ended == Some(None)) {
        let died = living.span.to;
        let deadline = died + limit;
        if bench.servers_broke(Span { from: died, to: deadline }) || deadline > bench.facts.span.to {
            continue;
        }
        let left =
            bench.facts.nodes.iter().filter(|node| {
                node.owner.is_some_and(|owner| living.owns(owner)) && node.span.holds(deadline)
            });
        for node in left {
            let after = millis(node.span.to - died);
            bench.found(
                "P13",
                deadline,
                format!("{} of {} was there for {after} after its death", node.path, life.who),
            );
        }
    }
}

/// P15: an instance that is deregistered stays so.
fn gone_for_good(bench: &mut Bench<'_>) {
    let dating = bench.limit(DATING);
    for (life, living) in bench.facts.of_role(Role::Instance) {
        let Some(told) = living.withdrawn else { continue };
        let gone = living.said.iter().find(|(_, event)| **event == Event::Deregistered).map(|(at, _)| *at);
        let later = bench.facts.instances().filter(|(_, node)| {
            let there = gone.is_some_and(|gone| node.span.holds(gone + dating));
            (there || node.span.from > told + dating) && node.owner.is_some_and(|owner| living.owns(owner))
        });
        for (who, node) in later {
            let at = node.span.from.max(told);
            bench.found(
                "P15",
                at,
                format!("{who} was deregistered in its life {}, and has a node", life.life),
            );
        }
    }
}

/// P17: a node that others delete is made again within two seconds, if nothing else breaks.
fn restored(bench: &mut Bench<'_>) {
    let limit = bench.limit(RESTORED);
    let facts = bench.facts;
    for (who, node) in facts.instances().filter(|(who, node)| deleted_by_others(facts, *who, node)) {
        let span = Span { from: node.span.to, to: node.span.to + limit };
        let mut others = bench.facts.broken(span).filter(|fault| fault.kind != Kind::NodeDeleted);
        let disturbed = others.any(|fault| fault.hits(who)) || span.to > bench.facts.span.to;
        let again = bench.facts.instances().any(|(other, node)| other == who && span.holds(node.span.from));
        if !disturbed && !again {
            bench.found(
                "P17",
                node.span.to,
                format!("the node of {who} that others deleted was not made again"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::judge::story::Story;
    use crate::plan::Kind;

    /// An instance that is registered.
    fn registered() -> Story {
        let mut story = Story::default();
        story
            .starts(10, "i01")
            .connected(90, "i01", 0x11)
            .node(100, "i01", 0x11, 5)
            .registered(110, "i01", 0x11);
        story
    }

    #[test]
    fn an_instance_that_is_registered_is_as_promised() {
        assert_eq!(registered().promises(), [""; 0]);
    }

    #[test]
    fn a_node_that_is_made_twice_in_a_session_is_found() {
        let mut story = registered();
        story.deleted(2000, "i01", 0x11).node(2001, "i01", 0x11, 6);
        assert_eq!(story.promises(), ["P11"]);
        let mut story = registered();
        story
            .fault(1, Kind::NodeDeleted, "i01", 1999, 2001)
            .deleted(2000, "i01", 0x99)
            .node(2001, "i01", 0x11, 6);
        assert_eq!(story.promises(), [""; 0]);
    }

    #[test]
    fn a_short_cut_that_costs_the_session_or_a_leadership_is_found() {
        let cut = |session| {
            let mut story = registered();
            story.fault(1, Kind::Blip, "i01", 3000, 3300).connected(3500, "i01", session);
            story.node(3510, "i01", 0x22, 9).registered(3520, "i01", 0x22);
            story
        };
        assert_eq!(cut(0x22).promises(), ["P11"]);
        assert_eq!(cut(0x22).fault(2, Kind::Outage, "server 1", 2900, 3000).promises(), [""; 0]);
        let mut story = Story::default();
        story.candidate("c01", 0x11).node(100, "c01-0000000001", 0x11, 5);
        story.leads(200, "c01", 5, "c01-0000000001", 0x11).fault(1, Kind::Blip, "c01", 3000, 3300);
        assert_eq!(story.promises(), [""; 0]);
        assert_eq!(story.led(3600, "c01", 5, "lease-ended").promises(), ["P11"]);
    }

    #[test]
    fn a_node_that_others_delete_without_being_told_to_is_found() {
        let mut story = registered();
        story.deleted(2000, "i01", 0x99).node(2001, "i01", 0x11, 6);
        assert_eq!(story.promises(), ["P12"]);
    }

    #[test]
    fn who_says_that_it_is_registered_and_is_not_is_found() {
        let mut story = Story::default();
        story.starts(10, "i01").connected(90, "i01", 0x11).registered(110, "i01", 0x11);
        assert_eq!(story.promises(), ["P12"]);
    }

    #[test]
    fn who_is_not_registered_in_a_new_session_is_found_unless_something_broke() {
        let begin = || {
            let mut story = registered();
            story.expired(3000, 0x11).connected(3100, "i01", 0x22).node(4500, "i01", 0x22, 9);
            story.registered(4510, "i01", 0x22);
            story
        };
        assert_eq!(begin().promises(), ["P10"]);
        assert_eq!(begin().fault(1, Kind::Outage, "server 1", 3500, 3600).promises(), [""; 0]);
        assert_eq!(begin().fault(1, Kind::Cut, "i02", 3500, 3600).promises(), ["P10"]);
    }

    #[test]
    fn the_node_of_a_dead_process_that_stays_is_found() {
        let killed = |expired| {
            let mut story = registered();
            story.fault(1, Kind::Kill, "i01", 999, 4000).ended(1000, "i01", None).expired(expired, 0x11);
            story
        };
        assert_eq!(killed(3400).promises(), [""; 0]);
        assert_eq!(killed(3600).promises(), ["P13"]);
    }

    #[test]
    fn a_deregistered_instance_that_comes_back_is_found() {
        let mut story = registered();
        story.withdrawn(1990, "i01").deleted(2000, "i01", 0x11).deregistered(2010, "i01");
        assert_eq!(story.promises(), [""; 0]);
        story.connected(3000, "i01", 0x22).node(3010, "i01", 0x22, 9);
        assert!(story.promises().contains(&"P15"), "{:?}", story.promises());
    }

    #[test]
    fn a_deleted_node_that_is_not_made_again_is_found() {
        let mut story = registered();
        story.fault(1, Kind::NodeDeleted, "i01", 1999, 2001).deleted(2000, "i01", 0x99);
        assert_eq!(story.promises(), ["P17"]);
    }
}
