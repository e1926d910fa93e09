//! Who of a service is in or out. Pure: the time comes with each question.

use std::collections::{HashMap, HashSet};

use proto::InstanceId;
use tokio::time::Instant;

use super::patient::{Admission, Change, Patient};
use crate::proxy::rules::Settings;

/// How the instances of a service are that failed lately. Who is not known here is well.
#[derive(Debug, Default)]
pub(super) struct Ward {
    patients: HashMap<InstanceId, Patient>,
}

impl Ward {
    /// Whether nobody failed lately.
    pub(super) fn is_empty(&self) -> bool {
        self.patients.is_empty()
    }

    /// Whether this one failed lately.
    pub(super) fn knows(&self, id: &InstanceId) -> bool {
        self.patients.contains_key(id)
    }

    /// A request is about to go to this instance.
    pub(super) fn admit(&mut self, id: &InstanceId, now: Instant) -> Admission {
        self.patients.get_mut(id).map_or(Admission::Ordinary, |patient| patient.admit(now))
    }

    /// A request went well.
    pub(super) fn succeeded(&mut self, id: &InstanceId, probe: bool, now: Instant) -> Change {
        let Some(patient) = self.patients.get_mut(id) else { return Change::Nothing };
        let change = patient.succeeded(probe, now);
        if *patient == Patient::WELL {
            self.patients.remove(id);
        }
        change
    }

    /// A request failed. `listed` is how many instances there are that requests can go to.
    pub(super) fn failed(
        &mut self,
        id: &InstanceId,
        probe: bool,
        now: Instant,
        listed: usize,
        settings: &Settings,
    ) -> Change {
        let one_more_may_go = (self.out() + 1) * 2 <= listed;
        let patient = self.patients.entry(id.clone()).or_insert(Patient::WELL);
        patient.failed(probe, now, one_more_may_go, settings)
    }

    /// A probe ended without telling anything: its client went away. The next request is one again.
    pub(super) fn undecided(&mut self, id: &InstanceId, now: Instant) {
        if let Some(patient) = self.patients.get_mut(id) {
            patient.undecided(now);
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
            let out = self.patients.values_mut().filter_map(|patient| Some((patient.out_since()?, patient)));
            let Some((_, patient)) = out.min_by_key(|(since, _)| *since) else { return };
            patient.returns(settings);
        }
    }

    /// Who is not to be picked, and when that is different next.
    pub(super) fn avoided(&self, now: Instant) -> (HashSet<InstanceId>, Option<Instant>) {
        let (mut avoided, mut next) = (HashSet::new(), None::<Instant>);
        for (id, patient) in &self.patients {
            match patient {
                Patient::In { .. } => continue,
                Patient::Out { until, .. } if *until <= now => continue,
                Patient::Out { until, .. } => next = Some(next.map_or(*until, |next| next.min(*until))),
                Patient::Probed { .. } => {}
            }
            avoided.insert(id.clone());
        }
        (avoided, next)
    }

    /// How many are out, those included that are probed or may be.
    pub(super) fn out(&self) -> usize {
        self.patients.values().filter(|patient| patient.out_since().is_some()).count()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn settings() -> Settings {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(5));
        Settings { failures: 3, first, longest, statuses: vec![503] }
    }

    fn id(text: &str) -> InstanceId {
        text.parse().unwrap()
    }

    fn state(ward: &Ward, name: &str) -> Option<Patient> {
        ward.patients.get(&id(name)).copied()
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
        assert!(matches!(state(&ward, "b"), Some(Patient::In { failures: 3, .. })));
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
        assert_eq!((state(&ward, "a"), state(&ward, "c")), (None, None));
        assert!(matches!(state(&ward, "b"), Some(Patient::Out { .. })));
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
                        probes.retain(|it| matches!(ward.patients.get(it), Some(Patient::Probed { .. })));
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
