//! What can go wrong, named for what a caller does next.

use std::sync::Arc;

/// Why something asked of a registry was not done.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Refused before anything was sent: the text says what was wrong and what is accepted.
    #[error("{0}")]
    Invalid(Arc<str>),

    /// A newer process has taken the place of this instance, under the same id. This is for good: we do not fight.
    #[error("a newer process with the same id has taken the place of this instance")]
    Replaced,

    /// The instance was withdrawn, or the keeper of the sessions was closed. This is for good.
    #[error("withdrawn, or the connection to ZooKeeper was closed by us")]
    Withdrawn,

    /// The keeper of the sessions was closed. This is for good.
    #[error("the connection to ZooKeeper was closed by us")]
    Closed,

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
            error => Self::ZooKeeper(error),
        }
    }
}
