//! Which instances are in a list, as one number that processes tell each other.

use std::hash::{DefaultHasher, Hash, Hasher};

use proto::NodeData;
use registry::Instances;
use serde::{Deserialize, Serialize};

/// Which instances are in a list, whatever their order: two lists of different instances have different ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    /// Of what a list has to be.
    pub(crate) fn of<'a>(all: impl IntoIterator<Item = &'a NodeData>) -> anyhow::Result<Self> {
        let mut fingerprint = Self::default();
        for data in all {
            fingerprint.add(data.default_id()?.as_str(), data);
        }
        Ok(fingerprint)
    }

    /// Of a list as the registry publishes it.
    pub(super) fn of_list(list: &Instances) -> Self {
        let mut fingerprint = Self::default();
        for instance in list.iter() {
            fingerprint.add(instance.id.as_str(), &instance.data);
        }
        fingerprint
    }

    /// An instance, told apart from another one of the same id by its weight and by when it was registered.
    pub(super) fn add(&mut self, id: &str, data: &NodeData) {
        // With the keys that it always has: the same in all processes of this program.
        let mut hasher = DefaultHasher::new();
        (id, data.weight, data.registered_at).hash(&mut hasher);
        self.0 ^= hasher.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::stage::instances;

    #[test]
    fn a_fingerprint_knows_which_instances_there_are_and_not_their_order() {
        let all = instances(10).unwrap();
        let of = |all: &[NodeData]| Fingerprint::of(all).unwrap();
        let turned: Vec<_> = all.iter().rev().cloned().collect();
        assert_eq!(of(&all), of(&turned));
        assert_ne!(of(&all), of(&all[1..]));
        let (mut later, mut heavier) = (all.clone(), all.clone());
        later[3].registered_at += 1;
        heavier[3].weight += 1;
        assert_ne!(of(&all), of(&later));
        assert_ne!(of(&all), of(&heavier));
        assert_eq!(of(&[]), Fingerprint::default());
    }
}
