//! Why nobody was picked.

use crate::KeyKind;

/// Why nobody was picked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickError {
    /// No list has come yet. Wait: [`Balancer::ready`](crate::Balancer::ready).
    #[error("there is no list of instances yet")]
    NotReady,

    /// No list came, and none will: whoever was to bring it is gone.
    #[error(
        "there is no list of instances, and nobody left to bring one: what the lists come from has ended"
    )]
    Closed,

    /// The list is there, and nobody is in it.
    #[error("there is no instance: the list is empty")]
    Empty,

    /// Everybody has a weight of 0.
    #[error("everybody is drained, with a weight of 0: {listed} in all")]
    Drained {
        /// How many the list has.
        listed: usize,
    },

    /// The filter left nobody, or only instances with a weight of 0.
    #[error(
        "nobody is left: of {listed} in the list the filter {filter:?} takes out {filtered}, and {drained} more are drained"
    )]
    Filtered {
        /// How many the list has.
        listed: usize,
        /// How many the filter takes out.
        filtered: usize,
        /// How many of the others have a weight of 0.
        drained: usize,
        /// What the filter is called.
        filter: String,
    },

    /// The request does not have what the algorithm chooses by.
    #[error("{algorithm} needs {needs} ({}), and the request has {}", made_by(*.needs), shown(*.has))]
    KeyMissing {
        /// What the algorithm is called.
        algorithm: String,
        /// What a request needs.
        needs: KeyKind,
        /// What it has instead.
        has: Option<KeyKind>,
    },

    /// All who could be picked were tried already.
    #[error("everybody who could be picked was tried already: {candidates} in all")]
    Tried {
        /// How many could be picked.
        candidates: usize,
    },

    /// The algorithm took none of those that it was given.
    #[error("{algorithm} picked none of {candidates} instances")]
    Declined {
        /// What the algorithm is called.
        algorithm: String,
        /// How many could be picked.
        candidates: usize,
    },
}

impl PickError {
    /// Whether another list can change it: then it is worth to wait for one.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::NotReady | Self::Empty | Self::Drained { .. } | Self::Filtered { .. })
    }
}

/// What gives a request such a key.
fn made_by(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Client => "Request::client",
        KeyKind::Url => "Request::url",
        KeyKind::Bytes => "Request::keyed",
    }
}

fn shown(kind: Option<KeyKind>) -> String {
    kind.map_or("none".to_owned(), |kind| kind.to_string())
}
