//! What stays known of instances from one list to the next.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use proto::{Instance, InstanceId};

use crate::Candidate;
use crate::snapshot::Snapshot;

/// Those of a list, of equal ids the first.
pub(crate) fn each_once<'a>(list: impl Iterator<Item = &'a Arc<Instance>>) -> Vec<&'a Arc<Instance>> {
    let list: Vec<_> = list.collect();
    if list.is_sorted_by(|one, other| one.id < other.id) {
        return list;
    }
    let mut ids = HashSet::new();
    list.into_iter().filter(|instance| ids.insert(&instance.id)).collect()
}

/// Those who left, for as long as somebody holds a pick of them: they may come back.
#[derive(Default)]
pub(crate) struct Gone(HashMap<InstanceId, Weak<Candidate>>);

impl Gone {
    /// Candidates for everybody, with what was known of their ids before.
    pub(crate) fn candidates(
        &mut self,
        everybody: &[&Arc<Instance>],
        before: &Snapshot,
    ) -> Vec<Arc<Candidate>> {
        let mut known: HashMap<_, _> =
            before.listed.iter().map(|listed| (listed.candidate.id(), &listed.candidate)).collect();
        let candidate = |instance: &&Arc<Instance>| match known.remove(&instance.id) {
            Some(candidate) if is_same(candidate.instance(), instance) => candidate.clone(),
            Some(candidate) => Arc::new(candidate.renewed(Arc::clone(instance))),
            None => Arc::new(match self.0.get(&instance.id).and_then(Weak::upgrade) {
                Some(gone) => gone.renewed(Arc::clone(instance)),
                None => Candidate::new(Arc::clone(instance)),
            }),
        };
        let candidates = everybody.iter().map(candidate).collect();
        self.0.retain(|_, candidate| candidate.strong_count() > 0);
        let left = known.into_iter();
        self.0.extend(left.map(|(id, candidate)| (id.clone(), Arc::downgrade(candidate.eldest()))));
        candidates
    }
}

fn is_same(one: &Arc<Instance>, other: &Arc<Instance>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}
