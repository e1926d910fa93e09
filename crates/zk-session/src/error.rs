//! What can go wrong, named for what a caller does next.

use std::error::Error as StdError;
use std::sync::Arc;

/// Why something asked of ZooKeeper was not done, or is not known to be done.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It may have happened, or may not. Look again on the next connection, do not guess.
    #[error("the connection to ZooKeeper ended before the answer came")]
    Interrupted,

    /// No server could be reached; nothing happened. Try again later.
    #[error("no ZooKeeper server of {servers} could be reached")]
    Unreachable {
        /// The servers that were tried, as in the connect string.
        servers: String,
        /// What the last of them said, where that is known.
        #[source]
        source: Option<Arc<dyn StdError + Send + Sync>>,
    },

    /// The server refused, and will refuse again until somebody changes something.
    #[error("rejected by ZooKeeper: {what}")]
    Rejected {
        /// What was refused, in words for an operator: "not authorized to create /a/b".
        what: String,
    },

    /// There is a node already.
    #[error("the node exists already")]
    NodeExists,

    /// There is no such node, or its parent is missing.
    #[error("there is no such node")]
    NoNode,

    /// The node was written since: its version is another one.
    #[error("the node has another version")]
    BadVersion,

    /// A node with children cannot be deleted, and an ephemeral one cannot have any.
    #[error("the node has children, or cannot have any")]
    Children,

    /// Nothing of a commit was done, because one operation could not be.
    #[error("nothing was done, for operation {index} failed")]
    Aborted {
        /// Which one, counted from 0.
        index: usize,
        /// What it would have given alone.
        #[source]
        source: Box<Error>,
    },

    /// A directory has more children than we were told to read.
    #[error("{path} has {found} children, more than the {most} that are read")]
    Oversize {
        /// Which directory.
        path: String,
        /// How many there are.
        found: usize,
        /// How many are accepted.
        most: usize,
    },

    /// Refused before anything was sent: the text says what was wrong and what is accepted.
    #[error("{0}")]
    Invalid(String),
}
