//! Whether an instance is in or out, by what became of its requests. Pure: the time comes with each question.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proto::InstanceId;
use tokio::time::Instant;

use crate::proxy::rules::Settings;

/// How the instances of a service are that failed lately. Who is not known here is well.
#[derive(Debug, Default)]
pub(super) struct Ward {
    patients: HashMap<InstanceId, State>,
}

/// How one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It gets requests. `failures` of them failed one after the other.
    In { failures: u32, before: Option<Stay> },
    /// It gets none before this moment, and then one alone.
    Out { until: Instant, stay: Stay },
    /// That one is under way.
    Probed { stay: Stay },
}

/// For how long one was out, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stay {
    pub(super) lasts: Duration,
    /// When it returned; for who is still out, when that began.
    since: Instant,
}

/// What an instance that was picked may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Ordinary,
    /// This request decides whether it returns.
    Probe,
    /// Nothing: pick another one.
    Refused,
}

/// What an outcome changed, for those who log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Nothing,
    Ejected(Duration),
    Returned,
}

impl Ward {
    /// Whether nobody failed lately.
    pub(super) fn is_empty(&self) -> bool {
        self.patients.is_empty()
    }

    #[cfg(test)]
    fn state(&self, id: &InstanceId) -> Option<State> {
        self.patients.get(id).copied()
    }

    /// A request is about to go to this instance.
    pub(super) fn admit(&mut self, id: &InstanceId, now: Instant) -> Admission {
        match self.patients.get_mut(id) {
            None | Some(State::In { .. }) => Admission::Ordinary,
            Some(State::Out { until, .. }) if now < *until => Admission::Refused,
            Some(State::Probed { .. }) => Admission::Refused,
            Some(state @ State::Out { .. }) => {
                if let State::Out { stay, .. } = *state {
                    *state = State::Probed { stay };
                }
                Admission::Probe
            }
        }
    }

    /// A request went well.
    pub(super) fn succeeded(&mut self, id: &InstanceId, probe: bool, now: Instant) -> Change {
        match self.patients.get_mut(id) {
            // What began before it was put out says nothing of how it is now.
            None | Some(State::Out { .. }) => Change::Nothing,
            Some(State::Probed { .. }) if !probe => Change::Nothing,
            Some(state @ State::Probed { .. }) => {
                if let State::Probed { stay } = *state {
                    *state = State::In { failures: 0, before: Some(Stay { since: now, ..stay }) };
                }
                Change::Returned
            }
            Some(State::In { failures, before }) => {
                *failures = 0;
                if before.is_none_or(|stay| stay.is_forgotten(now)) {
                    self.patients.remove(id);
                }
                Change::Nothing
            }
        }
    }

    /// A request failed. `listed` is how many instances there are.
    pub(super) fn failed(
        &mut self,
        id: &InstanceId,
        probe: bool,
        now: Instant,
        listed: usize,
        settings: &Settings,
    ) -> Change {
        let one_more_may_go = (self.out() + 1) * 2 <= listed;
        let well = State::In { failures: 0, before: None };
        let state = self.patients.entry(id.clone()).or_insert(well);
        let before = match *state {
            State::In { failures, before } => {
                let failures = failures.saturating_add(1);
                *state = State::In { failures, before };
                if failures < settings.failures || !one_more_may_go {
                    return Change::Nothing;
                }
                before.filter(|stay| !stay.is_forgotten(now))
            }
            State::Probed { stay } if probe => Some(stay),
            State::Probed { .. } | State::Out { .. } => return Change::Nothing,
        };
        let lasts = before.map_or(settings.first, |stay| (stay.lasts * 2).min(settings.longest));
        *state = State::Out { until: now + lasts, stay: Stay { lasts, since: now } };
        Change::Ejected(lasts)
    }

    /// A probe ended without telling anything: its client went away. The next request is one again.
    pub(super) fn undecided(&mut self, id: &InstanceId, now: Instant) {
        if let Some(state) = self.patients.get_mut(id)
            && let State::Probed { stay } = *state
        {
            *state = State::Out { until: now, stay };
        }
    }

    /// There is another list. Who left it is forgotten, and who has been out for the longest returns while more than half are.
    pub(super) fn listed(
        &mut self,
        listed: usize,
        is_listed: impl Fn(&InstanceId) -> bool,
        settings: &Settings,
    ) {
        self.patients.retain(|id, _| is_listed(id));
        while self.out() * 2 > listed {
            let since = |state: &State| match state {
                State::In { .. } => None,
                State::Out { stay, .. } | State::Probed { stay } => Some(stay.since),
            };
            let out = self.patients.values_mut().filter_map(|state| Some((since(state)?, state)));
            let Some((_, state)) = out.min_by_key(|(since, _)| *since) else { return };
            if let State::Out { stay, .. } | State::Probed { stay } = *state {
                // It is not known to be well: one more failure, and it is out again.
                *state = State::In { failures: settings.failures.saturating_sub(1), before: Some(stay) };
            }
        }
    }

    /// Who is not to be picked, and when that is different next.
    pub(super) fn avoided(&self, now: Instant) -> (HashSet<InstanceId>, Option<Instant>) {
        let (mut avoided, mut next) = (HashSet::new(), None::<Instant>);
        for (id, state) in &self.patients {
            match state {
                State::In { .. } => continue,
                State::Out { until, .. } if *until <= now => continue,
                State::Out { until, .. } => next = Some(next.map_or(*until, |next| next.min(*until))),
                State::Probed { .. } => {}
            }
            avoided.insert(id.clone());
        }
        (avoided, next)
    }

    /// How many are out, those included that are probed or may be.
    pub(super) fn out(&self) -> usize {
        self.patients.values().filter(|state| !matches!(state, State::In { .. })).count()
    }
}

impl Stay {
    /// One that was in for ten times as long as it had been out begins anew.
    fn is_forgotten(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= self.lasts * 10
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings() -> Settings {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(5));
        Settings { failures: 3, first, longest, statuses: vec![503] }
    }

    fn id(text: &str) -> InstanceId {
        text.parse().unwrap()
    }

    /// What happens to the instance `a`, one of four.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        Succeeds,
        Fails,
        ProbeSucceeds,
        ProbeFails,
        ProbeEndsUndecided,
        Asked(Admission),
        /// Milliseconds pass.
        Pass(u64),
    }

    #[derive(Debug, PartialEq)]
    enum Is {
        Well,
        In(u32),
        /// For these milliseconds in all.
        Out(u64),
        Probed,
    }

    fn after(events: &[Event]) -> Is {
        let (mut ward, mut now, a) = (Ward::default(), Instant::now(), id("a"));
        for event in events {
            match *event {
                Event::Succeeds => drop(ward.succeeded(&a, false, now)),
                Event::Fails => drop(ward.failed(&a, false, now, 4, &settings())),
                Event::ProbeSucceeds => assert_eq!(ward.succeeded(&a, true, now), Change::Returned),
                Event::ProbeFails => {
                    assert!(matches!(ward.failed(&a, true, now, 4, &settings()), Change::Ejected(_)));
                }
                Event::ProbeEndsUndecided => ward.undecided(&a, now),
                Event::Asked(admission) => assert_eq!(ward.admit(&a, now), admission, "{events:?}"),
                Event::Pass(time) => now += Duration::from_millis(time),
            }
        }
        match ward.state(&a) {
            None => Is::Well,
            Some(State::In { failures, .. }) => Is::In(failures),
            Some(State::Out { stay, .. }) => Is::Out(stay.lasts.as_millis() as u64),
            Some(State::Probed { .. }) => Is::Probed,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_goes_out_for_longer_each_time_and_returns_by_one_probe() {
        use Admission::{Ordinary, Probe, Refused};
        use Event::{Asked, Fails, Pass, ProbeEndsUndecided, ProbeFails, ProbeSucceeds, Succeeds};

        let out = [Fails, Fails, Fails];
        let probed = [&out[..], &[Pass(1_000), Asked(Probe)]].concat();
        let returned = [&probed[..], &[ProbeSucceeds]].concat();
        let cases: Vec<(&str, Vec<Event>, Is)> = vec![
            ("nothing happened", vec![Asked(Ordinary)], Is::Well),
            ("who goes well is not kept", vec![Succeeds], Is::Well),
            ("a few failures do nothing", vec![Fails, Fails, Asked(Ordinary)], Is::In(2)),
            ("a success begins anew", vec![Fails, Fails, Succeeds, Fails], Is::In(1)),
            ("three in a row put it out", [&out[..], &[Asked(Refused)]].concat(), Is::Out(1_000)),
            ("for its time", [&out[..], &[Pass(999), Asked(Refused)]].concat(), Is::Out(1_000)),
            (
                "what began before says nothing",
                [&out[..], &[Succeeds, Fails, Fails]].concat(),
                Is::Out(1_000),
            ),
            ("then one request is let in", probed.clone(), Is::Probed),
            (
                "and no other",
                [&probed[..], &[Asked(Refused), Pass(60_000), Asked(Refused)]].concat(),
                Is::Probed,
            ),
            ("which alone decides", [&probed[..], &[Succeeds, Fails]].concat(), Is::Probed),
            ("it returns", [&returned[..], &[Asked(Ordinary), Asked(Ordinary)]].concat(), Is::In(0)),
            (
                "or is out for longer",
                [&probed[..], &[ProbeFails, Pass(1_999), Asked(Refused)]].concat(),
                Is::Out(2_000),
            ),
            (
                "and longer",
                [&probed[..], &[ProbeFails, Pass(2_000), Asked(Probe), ProbeFails]].concat(),
                Is::Out(4_000),
            ),
            (
                "up to the longest",
                [
                    &probed[..],
                    &[
                        ProbeFails,
                        Pass(2_000),
                        Asked(Probe),
                        ProbeFails,
                        Pass(4_000),
                        Asked(Probe),
                        ProbeFails,
                    ],
                ]
                .concat(),
                Is::Out(5_000),
            ),
            (
                "a probe that tells nothing is made again",
                [&probed[..], &[ProbeEndsUndecided, Asked(Probe)]].concat(),
                Is::Probed,
            ),
            (
                "one at a time",
                [&probed[..], &[ProbeEndsUndecided, Asked(Probe), Asked(Refused)]].concat(),
                Is::Probed,
            ),
            ("soon out again is out for longer", [&returned[..], &out[..]].concat(), Is::Out(2_000)),
            (
                "much later it begins anew",
                [&returned[..], &[Pass(10_000)], &out[..]].concat(),
                Is::Out(1_000),
            ),
            (
                "and is forgotten once it goes well",
                [&returned[..], &[Pass(10_000), Succeeds]].concat(),
                Is::Well,
            ),
            ("not before", [&returned[..], &[Pass(9_999), Succeeds]].concat(), Is::In(0)),
        ];
        for (what, events, is) in cases {
            assert_eq!(after(&events), is, "{what}");
        }
    }

    /// Puts these out, as far as they may be, of so many that are listed.
    fn ward(ids: &[&str], listed: usize, now: Instant) -> Ward {
        let mut ward = Ward::default();
        for (place, name) in ids.iter().enumerate() {
            for _ in 0..3 {
                ward.failed(&id(name), false, now + Duration::from_millis(place as u64), listed, &settings());
            }
        }
        ward
    }

    #[tokio::test(start_paused = true)]
    async fn never_more_than_half_are_out() {
        let now = Instant::now();
        for (listed, out) in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3)] {
            assert_eq!(ward(&["a", "b", "c", "d", "e", "f"], listed, now).out(), out, "{listed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_may_not_go_out_goes_at_its_next_failure_once_it_may() {
        let now = Instant::now();
        let mut ward = ward(&["a", "b"], 2, now);
        assert!(matches!(ward.state(&id("b")), Some(State::In { failures: 3, .. })));
        assert!(matches!(ward.failed(&id("b"), false, now, 4, &settings()), Change::Ejected(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_list_brings_back_who_was_out_for_the_longest_but_not_as_well() {
        let now = Instant::now();
        let mut ward = ward(&["a", "b", "c"], 6, now);
        ward.listed(4, |_| true, &settings());
        assert_eq!(ward.avoided(now).0, HashSet::from([id("b"), id("c")]));
        assert!(matches!(ward.failed(&id("a"), false, now, 6, &settings()), Change::Ejected(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_the_list_is_forgotten_and_who_stays_is_not() {
        let now = Instant::now();
        let mut ward = ward(&["a", "b"], 6, now);
        ward.failed(&id("c"), false, now, 6, &settings());
        ward.listed(6, |it| it.as_str() == "b", &settings());
        assert_eq!((ward.state(&id("a")), ward.state(&id("c"))), (None, None));
        assert!(matches!(ward.state(&id("b")), Some(State::Out { .. })));
        ward.listed(6, |_| false, &settings());
        assert!(ward.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_avoided_changes_when_the_first_is_due() {
        let now = Instant::now();
        let ward = ward(&["a", "b"], 6, now);
        let due = now + Duration::from_secs(1);
        assert_eq!(ward.avoided(now), (HashSet::from([id("a"), id("b")]), Some(due)));
        let later = due + Duration::from_millis(1);
        assert_eq!(ward.avoided(due), (HashSet::from([id("b")]), Some(later)));
        assert_eq!(ward.avoided(later), (HashSet::new(), None));
    }

    proptest! {
        #[test]
        fn whatever_happens_half_stay_in_and_one_is_probed_once(
            steps in proptest::collection::vec((0usize..6, 0u8..6, 0u64..3_000), 1..200),
        ) {
            let (mut ward, mut now, mut listed) = (Ward::default(), Instant::now(), 6);
            let mut probes = HashSet::new();
            for (who, what, time) in steps {
                now += Duration::from_millis(time);
                let who = id(&format!("i{who}"));
                match what {
                    0 | 1 => drop(ward.failed(&who, probes.remove(&who), now, listed, &settings())),
                    2 => drop(ward.succeeded(&who, probes.remove(&who), now)),
                    3 if probes.remove(&who) => ward.undecided(&who, now),
                    4 => {
                        listed = 1 + (time as usize) % 6;
                        ward.listed(listed, |it| it.as_str() < format!("i{listed}").as_str(), &settings());
                        probes.retain(|it| matches!(ward.state(it), Some(State::Probed { .. })));
                    }
                    _ => if ward.admit(&who, now) == Admission::Probe {
                        prop_assert!(probes.insert(who));
                    },
                }
                prop_assert!(ward.out() * 2 <= listed);
                prop_assert!(ward.avoided(now).0.len() <= ward.out());
            }
        }
    }
}
