//! Whose turn it is.

use std::collections::HashSet;
use std::sync::Arc;

use proto::{Address, Instance, InstanceId};

/// Takes the instances of a list in turn. The turn goes by id, not by place: it survives another list.
#[derive(Debug, Default)]
pub(crate) struct Rotation {
    last: Option<InstanceId>,
}

impl Rotation {
    /// The next one that has an address, is not drained and was not tried yet. The list is in the order of the ids.
    pub(crate) fn next(
        &mut self,
        list: &[Arc<Instance>],
        tried: &HashSet<InstanceId>,
    ) -> Option<(InstanceId, Address)> {
        let usable = || {
            let able = list.iter().filter(|it| it.data.weight > 0 && !tried.contains(&it.id));
            able.filter_map(|it| Some((it.id.clone(), it.data.address.clone()?)))
        };
        let later = usable().find(|(id, _)| self.last.as_ref().is_none_or(|last| id > last));
        let next = later.or_else(|| usable().next())?;
        self.last = Some(next.0.clone());
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use proto::{NodeData, flat};

    use super::*;

    fn list(names: &[&str]) -> Vec<Arc<Instance>> {
        names.iter().map(|name| Arc::new(flat::instance(name).unwrap())).collect()
    }

    #[test]
    fn everybody_has_a_turn_also_while_the_list_changes() {
        let mut rotation = Rotation::default();
        let mut next = |names: &[&str]| {
            rotation.next(&list(names), &HashSet::new()).map(|(id, _)| id.to_string()).unwrap()
        };
        let all = ["a:1", "b:1", "c:1"];
        assert_eq!([next(&all), next(&all), next(&all), next(&all)], ["a:1", "b:1", "c:1", "a:1"]);
        assert_eq!(next(&["a:1", "c:1"]), "c:1");
        assert_eq!(next(&["a:1", "b:1"]), "a:1");
    }

    #[test]
    fn who_is_drained_was_tried_or_has_no_address_is_passed_over() {
        let instance = |name: &str, data| Arc::new(Instance { id: InstanceId::parse(name).unwrap(), data });
        let at = || NodeData::at("127.0.0.1:1".parse().unwrap());
        let list = [
            instance("a", at().with_weight(0)),
            instance("b", NodeData::behind_broker("b")),
            instance("c", at()),
            instance("d", at()),
        ];
        let mut rotation = Rotation::default();
        let mut tried = HashSet::new();
        for expected in ["c", "d"] {
            let (id, _) = rotation.next(&list, &tried).unwrap();
            assert_eq!(id.as_str(), expected);
            tried.insert(id);
        }
        assert_eq!(rotation.next(&list, &tried), None);
        assert_eq!(rotation.next(&[], &HashSet::new()), None);
    }
}
