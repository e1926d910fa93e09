//! Who may become a member, and what that changes.

use std::sync::Arc;

use crate::{Address, Node};

/// What becomes of a joiner.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is new here.
    New,
    /// It is a member already: it did not hear our answer, perhaps.
    Known,
    /// It listens where the member at this place of the list did, which therefore is gone.
    Replaces(usize),
    /// It may not.
    Refused(Refusal),
}

/// How the refusal of a taken id ends. Joiners know it by that: the format has no other place for a kind of refusal.
const DRAW_ANOTHER: &str = "ids are unique: draw another one";

/// Why a node may not become a member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A member has its id and listens elsewhere. Ids are unique: it should draw another one.
    #[error("the member at {by} has this id, and {DRAW_ANOTHER}")]
    IdTaken {
        /// Where that one listens.
        by: Address,
    },
    /// It says that it listens where this member does itself.
    #[error("this member itself listens at that address")]
    OurAddress,
    /// It is this member itself.
    #[error("it is this member itself")]
    Ourselves,
    /// There are as many members as are accepted.
    #[error("the cluster is full: {members} members are accepted")]
    Full {
        /// So many.
        members: usize,
    },
}

/// Whether a refusal in the words of [`Refusal`] is that of a taken id. Programs that never heard of these words refuse nobody.
pub(crate) fn is_id_taken(why: &str) -> bool {
    why.ends_with(DRAW_ANOTHER)
}

/// Decides about `joiner`; the first of `members` is this member itself. Two at one address are one after the other, two with one
/// id are at the same time.
pub(crate) fn admit(members: &[Node], joiner: &Node, most: usize) -> Admission {
    let with_id = members.iter().position(|member| member.id() == joiner.id());
    let there = members.iter().position(|member| member.address() == joiner.address());
    match (with_id, there) {
        (Some(0), Some(0)) => Admission::Refused(Refusal::Ourselves),
        (Some(id), there) if there != Some(id) => {
            Admission::Refused(Refusal::IdTaken { by: members[id].address().clone() })
        }
        (Some(_), _) => Admission::Known,
        (None, Some(0)) => Admission::Refused(Refusal::OurAddress),
        (None, Some(there)) => Admission::Replaces(there),
        (None, None) if members.len() >= most => Admission::Refused(Refusal::Full { members: most }),
        (None, None) => Admission::New,
    }
}

/// The members with `joiner` among them, where that changes anything.
pub(crate) fn admitted(members: &[Node], joiner: &Node, admission: &Admission) -> Option<Arc<[Node]>> {
    match admission {
        Admission::New => Some(members.iter().chain([joiner]).cloned().collect()),
        Admission::Replaces(gone) => {
            let others = members.iter().enumerate().filter(|(place, _)| place != gone);
            Some(others.map(|(_, member)| member).chain([joiner]).cloned().collect())
        }
        Admission::Known | Admission::Refused(_) => None,
    }
}

/// A node that became a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Who came.
    pub node: Node,
    /// The member that listened at its address before, and is gone therefore.
    pub replaced: Option<Node>,
}

/// Who came between two lists of members, in the order in which they came. A change that was undone in between is not told.
pub fn arrivals(before: &[Node], now: &[Node]) -> Vec<Arrival> {
    use std::collections::HashMap;
    let was: HashMap<&Address, &Node> = before.iter().map(|node| (node.address(), node)).collect();
    let arrival = |node: &Node| {
        let replaced = was.get(node.address()).copied();
        let same = replaced.is_some_and(|before| before.id() == node.id());
        (!same).then(|| Arrival { node: node.clone(), replaced: replaced.cloned() })
    };
    now.iter().filter_map(arrival).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u32, address: &str) -> Node {
        Node::new(id, address.parse().unwrap()).unwrap()
    }

    #[test]
    fn ids_are_unique_and_who_listens_at_an_address_was_there_last() {
        let members = [node(0, "self:1"), node(1, "a:1"), node(2, "b:1")];
        let taken = |by: &str| Admission::Refused(Refusal::IdTaken { by: by.parse().unwrap() });
        for (id, address, most, expected) in [
            (3, "c:1", 4, Admission::New),
            (3, "c:1", 3, Admission::Refused(Refusal::Full { members: 3 })),
            (3, "a:2", 4, Admission::New),
            (2, "b:1", 3, Admission::Known),
            (3, "a:1", 3, Admission::Replaces(1)),
            (2, "a:1", 4, taken("b:1")),
            (1, "c:1", 4, taken("a:1")),
            (1, "self:1", 4, taken("a:1")),
            (0, "c:1", 4, taken("self:1")),
            (3, "self:1", 4, Admission::Refused(Refusal::OurAddress)),
            (0, "self:1", 4, Admission::Refused(Refusal::Ourselves)),
        ] {
            assert_eq!(admit(&members, &node(id, address), most), expected, "{id} {address} {most}");
        }
    }

    #[test]
    fn a_taken_id_is_known_by_the_words_of_its_refusal() {
        let by = "a:1".parse().unwrap();
        for (refusal, taken) in [
            (Refusal::IdTaken { by }, true),
            (Refusal::OurAddress, false),
            (Refusal::Ourselves, false),
            (Refusal::Full { members: 1 }, false),
        ] {
            assert_eq!(is_id_taken(&refusal.to_string()), taken, "{refusal}");
        }
    }

    #[test]
    fn the_list_grows_by_the_joiner_and_loses_whom_it_replaces() {
        let members = [node(0, "self:1"), node(1, "a:1"), node(2, "b:1")];
        let joiner = node(3, "a:1");
        let ids = |list: Option<Arc<[Node]>>| list.map(|list| list.iter().map(Node::id).collect::<Vec<_>>());
        for (admission, expected) in [
            (Admission::New, Some(vec![0, 1, 2, 3])),
            (Admission::Replaces(1), Some(vec![0, 2, 3])),
            (Admission::Known, None),
            (Admission::Refused(Refusal::Ourselves), None),
        ] {
            assert_eq!(ids(admitted(&members, &joiner, &admission)), expected);
        }
    }

    #[test]
    fn arrivals_are_told_from_two_whole_lists() {
        let before = [node(0, "self:1"), node(1, "a:1"), node(2, "b:1")];
        let now = [node(0, "self:1"), node(2, "b:1"), node(3, "a:1"), node(4, "c:1")];
        assert_eq!(
            arrivals(&before, &now),
            [
                Arrival { node: node(3, "a:1"), replaced: Some(node(1, "a:1")) },
                Arrival { node: node(4, "c:1"), replaced: None },
            ]
        );
        assert_eq!(arrivals(&now, &now), []);
    }
}
