//! Whose turn is it?

use std::collections::HashSet;

use proto::MAX_NAME;
use proto::path::split_candidate;

/// How a candidate stands among those that are listed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn<'a> {
    /// Nobody is ahead.
    Lead,
    /// Somebody is directly ahead, and has to go first.
    Wait {
        /// The name of their node.
        ahead: &'a str,
        /// Whether nobody is ahead of them.
        leads: bool,
    },
    /// It is not listed at all.
    Absent,
}

/// Candidates stand in the order of their sequences. Names that are none of candidates do not count, nor do those that were
/// `passed_over`; what is in a node does not matter.
///
/// The list may be an old one: those ahead were there before us and can only go, so what it shows at worst is somebody who
/// has gone.
pub(crate) fn turn<'a>(names: &'a [String], own: &str, passed_over: &HashSet<String>) -> Turn<'a> {
    if !names.iter().any(|name| name == own) {
        return Turn::Absent;
    }
    let own = place(own);
    let counts = |name: &&String| place(name) < own && !passed_over.contains(*name);
    let mut ahead: Vec<_> = names.iter().filter(|name| place(name).is_some()).filter(counts).collect();
    ahead.sort_by_key(|name| place(name));
    match ahead[..] {
        [] => Turn::Lead,
        [.., last] => Turn::Wait { ahead: last, leads: ahead.len() == 1 },
    }
}

/// Where a candidate stands. Servers give no sequence twice in a directory; a node that somebody made by hand can have one
/// that is there already, and then all have to agree on an order.
///
/// One whose id is longer than any may be was made by hand, too, and is no candidate. The name decides and not the length of the
/// path, so that processes with different chroots agree: where it is too long to be sent, nobody can wait for its end.
pub(crate) fn place(name: &str) -> Option<(u32, &str)> {
    let (id, sequence) = split_candidate(name)?;
    (id.len() <= MAX_NAME).then_some((sequence, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_smallest_sequence_leads_and_the_others_wait_for_the_one_ahead() {
        let wait = |ahead, leads| Turn::Wait { ahead, leads };
        let [longest, too_long] = [255, 256].map(|bytes| format!("{}-0000000001", "x".repeat(bytes)));
        for (listed, own, passed_over, expected) in [
            (&["a-0000000000"][..], "a-0000000000", &[][..], Turn::Lead),
            (&[], "a-0000000000", &[], Turn::Absent),
            (&["b-0000000000"], "a-0000000001", &[], Turn::Absent),
            // The sequence decides and not the name, which sorts the other way; servers list in no order.
            (&["a-0000000007", "z-0000000003"], "z-0000000003", &[], Turn::Lead),
            (&["a-0000000007", "z-0000000003"], "a-0000000007", &[], wait("z-0000000003", true)),
            (
                &["c-0000000012", "a-0000000010", "b-0000000009"],
                "c-0000000012",
                &[],
                wait("a-0000000010", false),
            ),
            (
                &["c-0000000012", "a-0000000010", "b-0000000009"],
                "a-0000000010",
                &[],
                wait("b-0000000009", true),
            ),
            // Numbers, not texts.
            (&["a-0999999999", "b-1000000000"], "b-1000000000", &[], wait("a-0999999999", true)),
            // Ids are whole: each of these is somebody else.
            (&["a-0000000002", "a-1-0000000001"], "a-0000000002", &[], wait("a-1-0000000001", true)),
            // What is no candidate stands in nobody's way.
            (&["a-0000000002", "x", "y-1", "-0000000001", "z--000000001"], "a-0000000002", &[], Turn::Lead),
            (&["a-0000000002", "b-0000000001"], "a-0000000002", &["b-0000000001"], Turn::Lead),
            (&["a-0000000002", &longest], "a-0000000002", &[], wait(&longest, true)),
            (&["a-0000000002", &too_long], "a-0000000002", &[], Turn::Lead),
            (
                &["c-0000000003", "b-0000000002", "a-0000000001"],
                "c-0000000003",
                &["b-0000000002"],
                wait("a-0000000001", true),
            ),
            // Made by hand: one of the two is first for everybody.
            (&["a-0000000001", "b-0000000001"], "a-0000000001", &[], Turn::Lead),
            (&["a-0000000001", "b-0000000001"], "b-0000000001", &[], wait("a-0000000001", true)),
        ] {
            let listed = names(listed);
            let passed_over = names(passed_over).into_iter().collect();
            assert_eq!(turn(&listed, own, &passed_over), expected, "{own} among {listed:?}");
        }
    }
}
