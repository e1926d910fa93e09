//! What can go wrong between asking for a server and having one.

use std::io;
use std::time::Duration;

/// Why a server, or something asked of it, could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no ZooKeeper or no Java on this machine. The text says how to get them.
    #[error("{0}")]
    Missing(String),

    /// The package manager could not install ZooKeeper. The text has its last lines.
    #[error("cannot install ZooKeeper: {0}")]
    Install(String),

    /// The server ended by itself. The text has the last lines of its log.
    #[error("the ZooKeeper server ended by itself: {0}")]
    Ended(String),

    /// What was waited for did not come.
    #[error("waited {limit:?} in vain for {awaited}")]
    TimedOut {
        /// What was waited for.
        awaited: String,
        /// How long.
        limit: Duration,
    },

    /// The server must be stopped for this, and runs; or the other way round.
    #[error("{0}")]
    WrongState(&'static str),

    /// The operating system refused.
    #[error("cannot {doing}")]
    Io {
        /// What was tried.
        doing: String,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// Turns what the operating system says into an [`Error`] that also says what was tried.
pub(crate) fn cannot<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Error {
    let doing = doing.into();
    move |source| Error::Io { doing, source: source.into() }
}
