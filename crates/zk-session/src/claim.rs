//! Whose node is it, and what do we do about it?

use crate::{Node, SessionId};

/// The sessions of this process: a node that belongs to an earlier one is ours, but will vanish.
#[derive(Clone, Debug)]
pub(crate) struct OurSessions {
    pub(crate) current: SessionId,
    pub(crate) earlier: Vec<SessionId>,
}

impl OurSessions {
    pub(crate) fn contain(&self, id: SessionId) -> bool {
        id == self.current || self.earlier.contains(&id)
    }
}

/// What to do about the path where our node should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Nothing is there: make it.
    Create,
    /// It is ours: keep it.
    Adopt,
    /// It is there, but not ours: take its place. Carries the version it must still have.
    Replace(i32),
    /// Another process took our place: stop for good.
    Yield,
    /// Others may have it as well: wait until it goes.
    Wait,
    /// Another process took our place while we were away; or our dead predecessor's node is back, which goes with its session.
    Doubt,
    /// A node that no session owns keeps coming back.
    Blocked,
}

/// What was known before the look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Before {
    /// Our node has been there in this life.
    pub(crate) held: bool,
    /// That was in another session than this one, which is so young that a session which nobody keeps may be there still.
    pub(crate) young: bool,
    /// A node without owner has been replaced a moment ago.
    pub(crate) replaced_ownerless: bool,
    /// The path belongs to whoever comes first.
    pub(crate) contended: bool,
}

/// A node of ours can be there already: the reply to an earlier create may have been lost, or an earlier session of
/// this process lingers; that one will vanish under us, so it is replaced. A stranger's is our dead predecessor's or a
/// live twin's, and the newest wins, unless we held the path: then we are the older one. What is there after an outage can also
/// be older than we are, where the servers were put back to an older state: a dead predecessor's goes with its session.
pub(crate) fn claim(there: Option<&Node>, ours: &OurSessions, before: Before) -> Claim {
    let Some(node) = there else { return Claim::Create };
    match node.stat.owner {
        Some(owner) if owner == ours.current => Claim::Adopt,
        Some(owner) if ours.earlier.contains(&owner) => Claim::Replace(node.stat.version),
        _ if before.contended => Claim::Wait,
        Some(_) if before.held && before.young => Claim::Doubt,
        Some(_) if before.held => Claim::Yield,
        Some(_) => Claim::Replace(node.stat.version),
        None if before.replaced_ownerless => Claim::Blocked,
        None => Claim::Replace(node.stat.version),
    }
}

/// Splits a sequential node's name into what was asked for and the sequence: the last ten digits.
pub(crate) fn sequence(name: &str, prefix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?;
    (digits.len() == 10 && digits.bytes().all(|digit| digit.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// Which of the nodes that bear our prefix is ours, and which are to be deleted: those of our earlier sessions, and all
/// but the first of this one (a reply may have been lost more than once). Strangers with the same prefix stay.
pub(crate) fn sort_out(
    mut named: Vec<(u64, String, Node)>,
    ours: &OurSessions,
) -> (Option<(String, Node)>, Vec<String>) {
    named.sort_by_key(|(sequence, ..)| *sequence);
    let (mut mine, mut surplus) = (None, Vec::new());
    for (_, path, node) in named {
        let owned_by = |session: &SessionId| node.stat.owner == Some(*session);
        if owned_by(&ours.current) && mine.is_none() {
            mine = Some((path, node));
        } else if owned_by(&ours.current) || ours.earlier.iter().any(owned_by) {
            surplus.push(path);
        }
    }
    (mine, surplus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stat;

    const NOW: SessionId = SessionId(7);
    const EARLIER: SessionId = SessionId(6);
    const STRANGER: SessionId = SessionId(9);

    fn node(owner: Option<SessionId>) -> Node {
        Node {
            data: Vec::new(),
            stat: Stat { czxid: 1, mzxid: 1, version: 3, created_at: 0, owner, children: 0 },
        }
    }

    fn ours() -> OurSessions {
        OurSessions { current: NOW, earlier: vec![EARLIER] }
    }

    #[test]
    fn who_owns_the_node_decides() {
        let held = Before { held: true, ..Before::default() };
        let young = Before { young: true, ..held };
        let replaced = Before { replaced_ownerless: true, ..Before::default() };
        let contended = Before { contended: true, ..Before::default() };
        for (there, before, expected) in [
            (None, Before::default(), Claim::Create),
            (None, held, Claim::Create),
            (None, contended, Claim::Create),
            (Some(Some(NOW)), Before::default(), Claim::Adopt),
            (Some(Some(NOW)), held, Claim::Adopt),
            (Some(Some(NOW)), contended, Claim::Adopt),
            (Some(Some(EARLIER)), Before::default(), Claim::Replace(3)),
            (Some(Some(EARLIER)), held, Claim::Replace(3)),
            (Some(Some(EARLIER)), contended, Claim::Replace(3)),
            (Some(Some(STRANGER)), Before::default(), Claim::Replace(3)),
            (Some(Some(STRANGER)), held, Claim::Yield),
            (None, young, Claim::Create),
            (Some(Some(NOW)), young, Claim::Adopt),
            (Some(Some(EARLIER)), young, Claim::Replace(3)),
            (Some(Some(STRANGER)), young, Claim::Doubt),
            (Some(Some(STRANGER)), Before { young: true, ..Before::default() }, Claim::Replace(3)),
            (Some(Some(STRANGER)), contended, Claim::Wait),
            (Some(None), Before::default(), Claim::Replace(3)),
            (Some(None), held, Claim::Replace(3)),
            (Some(None), replaced, Claim::Blocked),
            (Some(None), contended, Claim::Wait),
        ] {
            let there = there.map(node);
            assert_eq!(claim(there.as_ref(), &ours(), before), expected, "{there:?} {before:?}");
        }
    }

    #[test]
    fn a_sequence_is_the_ten_digits_behind_the_whole_prefix() {
        assert_eq!(sequence("a-0000000012", "a-"), Some(12));
        assert_eq!(sequence("a-1-0000000012", "a-"), None);
        assert_eq!(sequence("a-1-0000000012", "a-1-"), Some(12));
        assert_eq!(sequence("a-000000001x", "a-"), None);
        assert_eq!(sequence("a-12", "a-"), None);
        assert_eq!(sequence("b-0000000012", "a-"), None);
    }

    #[test]
    fn one_node_is_kept_and_what_earlier_tries_left_is_deleted() {
        let named = |sequence, owner| (sequence, format!("/d/a-{sequence:010}"), node(Some(owner)));
        let (mine, surplus) =
            sort_out(vec![named(5, NOW), named(2, EARLIER), named(3, STRANGER), named(4, NOW)], &ours());
        assert_eq!(mine.map(|(path, _)| path).as_deref(), Some("/d/a-0000000004"));
        assert_eq!(surplus, ["/d/a-0000000002", "/d/a-0000000005"]);
    }
}
