//! P16 and P19 to P21: what watchers tell those who use the instances.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Bench, millis};
use crate::facts::{Episode, Facts, Living, Span, View};
use crate::history::{Event, Nanos, SessionState, Source, nanos};
use crate::plan::Kind;
use crate::who::{Role, Who};

const AFTER_FAULTS: Duration = Duration::from_secs(2);
const AFTER_CHANGE: Duration = Duration::from_secs(1);
/// For a word about a connection that is gone.
const TOLD: Duration = Duration::from_millis(100);
/// For a notification that is under way.
const SOON: Duration = Duration::from_millis(200);

pub(super) fn judge(bench: &mut Bench<'_>) {
    truth(bench);
    nobody_missed(bench);
    nonsense_is_told(bench);
    doubt_is_told(bench);
}

/// P20: who has no connection says so of what it tells.
fn doubt_is_told(bench: &mut Bench<'_>) {
    let limit = bench.limit(TOLD);
    for (life, living) in bench.facts.of_role(Role::Watcher) {
        for (at, _, _) in living.sessions().filter(|(_, state, _)| *state == SessionState::Suspended) {
            let span = Span { from: at.saturating_sub(limit), to: at + limit };
            let live = living.views().take_while(|view| view.at < span.from).last();
            let trusted = live.is_some_and(|view| view.source == Source::Live);
            let back = living
                .sessions()
                .any(|(again, state, _)| state == SessionState::Connected && again > at && again < span.to);
            let stopped =
                bench.facts.broken(span).any(|fault| fault.kind == Kind::Pause && fault.hits(life.who));
            let doubted = living.views().any(|view| span.holds(view.at) && view.source == Source::Stale);
            if trusted && !back && !stopped && living.span.to > span.to && !doubted {
                bench.found(
                    "P20",
                    at,
                    format!("{} lost its connection, and called what it saw live", life.who),
                );
            }
        }
    }
}

/// P16, P19: when all was mended, views become what ZooKeeper has, with the latest data, and in time.
fn truth(bench: &mut Bench<'_>) {
    for episode in bench.facts.episodes.iter().filter(|episode| episode.missing.is_none()) {
        let then = episode.span.to;
        let truth = Truth::at(bench.facts, then);
        for (life, living) in bench.facts.of_role(Role::Watcher).filter(|(_, living)| living.span.holds(then))
        {
            let Some(view) = living.views().take_while(|view| view.at <= then).last() else { continue };
            let ports: BTreeMap<_, _> =
                view.instances.iter().map(|seen| (seen.id.clone(), seen.port)).collect();
            let ids: Vec<_> = ports.keys().collect();
            if !ids.iter().copied().eq(truth.ports.keys()) {
                let real: Vec<_> = truth.ports.keys().collect();
                bench.found("P19", then, format!("{} sees {ids:?} where {real:?} are registered", life.who));
            } else if ports != truth.ports {
                bench.found(
                    "P16",
                    then,
                    format!("{} sees {ports:?} where {:?} was said last", life.who, truth.ports),
                );
            }
            let due = due(bench, episode, living, truth.changed);
            if view.at > due {
                let late = millis(view.at - due);
                bench.found("P19", view.at, format!("{} saw what is registered {late} too late", life.who));
            }
        }
    }
}

/// Until when a watcher has to see the truth.
fn due(bench: &Bench<'_>, episode: &Episode, living: &Living<'_>, changed: Nanos) -> Nanos {
    let connected = |until: Nanos| {
        let so_far = living.sessions().take_while(|(at, _, _)| *at < until);
        so_far.filter(|(_, state, _)| *state == SessionState::Connected).last()
    };
    // In a new session those who were not seen yet stay for as long as a session lasts.
    let patience = match (connected(episode.span.from), connected(episode.span.to)) {
        (Some((_, _, before)), Some((at, _, now))) if before != now => {
            at + bench.limit(bench.session() + SOON)
        }
        _ => 0,
    };
    let usual = episode.healed + bench.limit(AFTER_FAULTS);
    usual.max(patience).max(changed + bench.limit(AFTER_CHANGE))
}

/// What is registered at a moment.
struct Truth {
    ports: BTreeMap<String, Option<u16>>,
    /// When that last changed.
    changed: Nanos,
}

impl Truth {
    fn at(facts: &Facts<'_>, then: Nanos) -> Self {
        let mut ports = BTreeMap::new();
        let mut changed = 0;
        for (who, node) in facts.instances() {
            if node.span.holds(then) {
                ports.insert(who.to_string(), port(facts, who, then));
            }
            let changes = [node.span.from, node.span.to];
            changed = changes.into_iter().filter(|at| *at <= then).fold(changed, Nanos::max);
        }
        Self { ports, changed }
    }
}

/// What an instance was last told to register.
fn port(facts: &Facts<'_>, who: Who, then: Nanos) -> Option<u16> {
    let lives = facts.lives.iter().filter(|(life, _)| life.who == who);
    let ports = lives.flat_map(|(_, living)| &living.ports).filter(|(at, _)| *at <= then);
    ports.max_by_key(|(at, _)| *at).map(|(_, port)| *port)
}

/// P20: nobody leaves a view who was registered all along; and in a new session nobody leaves who was not seen in it, before a
/// session's time has passed.
fn nobody_missed(bench: &mut Bench<'_>) {
    for (life, living) in bench.facts.of_role(Role::Watcher) {
        let views: Vec<_> = living.views().collect();
        for pair in views.windows(2) {
            let [before, after] = pair else { continue };
            for gone in before.instances.iter().filter(|seen| !after.has(&seen.id)) {
                if let Some(what) = wrongly_gone(bench, living, before, after, &gone.id) {
                    bench.found("P20", after.at, format!("{} saw {} no more, {what}", life.who, gone.id));
                }
            }
        }
    }
}

fn wrongly_gone(
    bench: &Bench<'_>,
    living: &Living<'_>,
    before: &View<'_>,
    after: &View<'_>,
    id: &str,
) -> Option<&'static str> {
    let there = |span: Span| {
        let nodes =
            bench.facts.instances().filter(|(who, node)| who.to_string() == id && node.span.meets(span));
        nodes.map(|(_, node)| node.span).collect::<Vec<_>>()
    };
    let since = Span { from: before.at.saturating_sub(nanos(AFTER_CHANGE)), to: after.at };
    let all_along = there(since).iter().any(|node| node.from <= since.from && node.to >= since.to);
    if all_along {
        return Some("which was registered all along");
    }
    let mut sessions =
        living.sessions().filter(|(at, state, _)| *at <= after.at && *state == SessionState::Connected);
    let (_, _, first) = sessions.next()?;
    let anew =
        sessions.filter(|(_, _, id)| *id != first).fold(None, |anew: Option<(Nanos, _)>, (at, _, id)| {
            anew.filter(|(_, before)| *before == id).or(Some((at, id)))
        });
    let (connected, _) = anew?;
    let early = after.at < connected + nanos(bench.session()) - bench.limit(SOON).min(nanos(bench.session()));
    let unseen = there(Span { from: connected, to: after.at }).is_empty();
    (early && unseen).then_some("before it could have registered again")
}

/// P21: what nobody can read is told, and harms nobody.
fn nonsense_is_told(bench: &mut Bench<'_>) {
    let limit = nanos(AFTER_CHANGE);
    for fault in bench.facts.faults.iter().filter(|fault| fault.kind == Kind::BadNode) {
        for (life, living) in bench.facts.of_role(Role::Watcher) {
            let undisturbed = !bench.facts.broken(fault.span).any(|other| other.hits(life.who));
            let there = living.span.from < fault.span.from && living.span.to > fault.span.to;
            let long = fault.span.to - fault.span.from > limit;
            if there && long && undisturbed && !told(living, &fault.on) {
                bench.found("P21", fault.span.to, format!("{} did not tell of {:?}", life.who, fault.on));
            }
        }
    }
}

fn told(living: &Living<'_>, paths: &[String]) -> bool {
    living.said.iter().any(|(_, event)| matches!(event, Event::BadNode { path } if paths.contains(path)))
}

#[cfg(test)]
mod tests {
    use crate::judge::story::Story;
    use crate::plan::Kind;

    /// Two instances, and a watcher that sees them.
    fn watched() -> Story {
        let mut story = Story::default();
        story
            .starts(10, "i01")
            .connected(90, "i01", 0x11)
            .node(100, "i01", 0x11, 5)
            .registered(110, "i01", 0x11);
        story
            .starts(10, "i02")
            .connected(90, "i02", 0x22)
            .node(100, "i02", 0x22, 6)
            .registered(110, "i02", 0x22);
        story.starts(10, "w01").connected(20, "w01", 0x33).view(120, "w01", &["i01", "i02"]);
        story
    }

    /// Everything is whole at some time after a fault.
    fn whole(story: &mut Story, at: u64) -> &mut Story {
        story.fault(1, Kind::Blip, "i01", 1000, 1100);
        for at in (900..at).step_by(200) {
            story.act(at, "c01", 5, true);
        }
        story.episode(1100, at)
    }

    #[test]
    fn a_view_that_is_the_truth_is_as_promised() {
        assert_eq!(whole(&mut watched(), 1500).promises(), [""; 0]);
    }

    #[test]
    fn a_view_that_is_not_the_truth_is_found() {
        assert_eq!(whole(watched().starts(10, "i03").node(1300, "i03", 0x44, 9), 1500).promises(), ["P19"]);
        assert_eq!(whole(watched().expired(1300, 0x22), 1500).promises(), ["P19"]);
    }

    #[test]
    fn an_outdated_port_is_found() {
        assert_eq!(whole(watched().updated(500, "i01", 81), 1500).promises(), ["P16"]);
    }

    #[test]
    fn a_late_view_is_found() {
        assert_eq!(whole(watched().view(3000, "w01", &["i01", "i02"]), 3500).promises(), [""; 0]);
        assert_eq!(whole(watched().view(3200, "w01", &["i01", "i02"]), 3500).promises(), ["P19"]);
        // In a new session it may take as long as a session lasts.
        let mut story = watched();
        story.connected(3000, "w01", 0x44).view(5100, "w01", &["i01", "i02"]);
        assert_eq!(whole(&mut story, 6000).promises(), [""; 0]);
        story.view(5300, "w01", &["i01", "i02"]);
        assert_eq!(story.promises(), ["P19"]);
    }

    #[test]
    fn an_instance_that_is_missed_all_along_is_found() {
        let begin = || {
            let mut story = watched();
            story.view(2000, "w01", &["i01", "i02"]).view(3000, "w01", &["i01"]);
            story
        };
        assert_eq!(begin().promises(), ["P20"]);
        assert_eq!(begin().expired(2900, 0x22).promises(), [""; 0]);
    }

    #[test]
    fn an_instance_that_is_not_waited_for_in_a_new_session_is_found() {
        let begin = |at| {
            let mut story = watched();
            story.expired(2000, 0x22).connected(3000, "w01", 0x44).view(at, "w01", &["i01"]);
            story
        };
        assert_eq!(begin(3100).promises(), ["P20"]);
        assert_eq!(begin(5000).promises(), [""; 0]);
        // It was seen in the new session.
        let mut story = watched();
        story.expired(3050, 0x22).connected(3000, "w01", 0x44).view(3100, "w01", &["i01"]);
        assert_eq!(story.promises(), [""; 0]);
    }

    #[test]
    fn a_view_that_is_called_live_without_a_connection_is_found() {
        assert_eq!(watched().suspended(3000, "w01", 0x33).promises(), ["P20"]);
        assert_eq!(
            watched().suspended(3000, "w01", 0x33).stale(3010, "w01", &["i01", "i02"]).promises(),
            [""; 0]
        );
    }

    #[test]
    fn nonsense_that_is_not_told_is_found() {
        let mut story = watched();
        story.fault(1, Kind::BadNode, "/chaos/instances/bad", 1000, 2500);
        assert_eq!(story.promises(), ["P21"]);
        story.bad_node(1010, "w01", "/chaos/instances/bad");
        assert_eq!(story.promises(), [""; 0]);
    }
}
