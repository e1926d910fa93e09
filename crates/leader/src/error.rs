//! What can go wrong, named for what a caller does next.

use std::sync::Arc;
use std::time::Duration;

use crate::Lost;

/// Why something asked of an election was not done.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Refused before anything was sent: the text says what was wrong and what is accepted.
    #[error("{0}")]
    Invalid(Arc<str>),

    /// The session is too short for a lease: renewals would be over before a busy machine comes to them.
    #[error(
        "a session timeout of {granted:?}, as ZooKeeper granted it, is too short for a lease: {least:?} at least are accepted"
    )]
    SessionTooShort {
        /// What ZooKeeper granted.
        granted: Duration,
        /// What is accepted.
        least: Duration,
    },

    /// This leadership is over, so nothing was done.
    #[error("not done, for this leadership is over: {0}")]
    Lost(Lost),

    /// Nothing of a commit was done, because one operation could not be.
    #[error("nothing was done, for operation {index} failed")]
    Aborted {
        /// Which one, counted from 0.
        index: usize,
        /// What it would have given alone.
        #[source]
        source: zk_session::Error,
    },

    /// The connection went before the answer came: it may have happened. Look, do not guess.
    #[error("the connection to ZooKeeper ended before the answer came")]
    Interrupted,

    /// We have resigned, or the keeper of the sessions was closed. This is for good.
    #[error("resigned, or the connection to ZooKeeper was closed by us")]
    Over,

    /// ZooKeeper could not be asked, or refused.
    #[error("ZooKeeper could not do it")]
    ZooKeeper(#[source] zk_session::Error),
}

impl Error {
    pub(crate) fn invalid(what: impl std::fmt::Display) -> Self {
        Self::Invalid(what.to_string().into())
    }
}

impl From<zk_session::Error> for Error {
    fn from(error: zk_session::Error) -> Self {
        match error {
            zk_session::Error::Invalid(what) => Self::Invalid(what.into()),
            zk_session::Error::Interrupted => Self::Interrupted,
            error => Self::ZooKeeper(error),
        }
    }
}
