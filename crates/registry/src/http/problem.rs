//! Why a gateway did not do what it was asked.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

/// The most characters of what a gateway says that are passed on.
const MAX_SHOWN: usize = 300;

/// Why a gateway did not do what it was asked. It is asked again, or the next one is, with growing delays.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Nothing came of a connection. Is it there, is it the right port, does it speak TLS?
    #[error("the gateway at {gateway} cannot be reached")]
    Unreachable {
        /// Which gateway.
        gateway: Arc<str>,
        /// Why not.
        #[source]
        source: Arc<dyn StdError + Send + Sync>,
    },

    /// The connection ended, or nothing came for too long. What was asked may have been done.
    #[error("the connection to the gateway at {gateway} ended: {what}")]
    Interrupted {
        /// Which gateway.
        gateway: Arc<str>,
        /// How it ended.
        what: Arc<str>,
    },

    /// It will refuse again until somebody changes something: a token, an address, what is asked for.
    #[error("the gateway at {gateway} refused with {status}: {detail}")]
    Refused {
        /// Which gateway.
        gateway: Arc<str>,
        /// The status of its answer.
        status: u16,
        /// What it says about that.
        detail: Arc<str>,
        /// After how long it wants to be asked again, if it says so.
        retry_after: Option<Duration>,
    },

    /// It answers, and not as a gateway does: is it another program, or an event that is too large?
    #[error("the gateway at {gateway} sent what cannot be used: {what}")]
    Unusable {
        /// Which gateway.
        gateway: Arc<str>,
        /// What is wrong with it, and what is accepted.
        what: Arc<str>,
    },

    /// It is without ZooKeeper: it has no list yet, or could not register yet.
    #[error("the gateway at {gateway} waits for ZooKeeper: {what}")]
    Waiting {
        /// Which gateway.
        gateway: Arc<str>,
        /// What it waits with.
        what: Arc<str>,
    },
}

/// What is done about a problem, and how often it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It may be over in a moment.
    Lost,
    /// Somebody has to do something.
    Refused,
}

impl Problem {
    pub(super) fn unreachable(
        gateway: &Arc<str>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::Unreachable { gateway: gateway.clone(), source: source.into().into() }
    }

    pub(super) fn interrupted(gateway: &Arc<str>, what: &str) -> Self {
        Self::Interrupted { gateway: gateway.clone(), what: shortened(what) }
    }

    pub(super) fn refused(
        gateway: &Arc<str>,
        status: u16,
        detail: &str,
        retry_after: Option<Duration>,
    ) -> Self {
        Self::Refused { gateway: gateway.clone(), status, detail: shortened(detail), retry_after }
    }

    /// After how long the gateway wants to be asked again, if it says so.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(super) fn unusable(gateway: &Arc<str>, what: &str) -> Self {
        Self::Unusable { gateway: gateway.clone(), what: shortened(what) }
    }

    pub(super) fn waiting(gateway: &Arc<str>, what: &str) -> Self {
        Self::Waiting { gateway: gateway.clone(), what: shortened(what) }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Unreachable { .. } | Self::Interrupted { .. } | Self::Waiting { .. } => Kind::Lost,
            // Too much to do, or about to end: that passes.
            Self::Refused { status: 500..=599, .. } => Kind::Lost,
            Self::Refused { .. } | Self::Unusable { .. } => Kind::Refused,
        }
    }
}

/// What comes from outside, for one line of a log.
pub(super) fn shortened(text: &str) -> Arc<str> {
    let printable = |it: char| if it.is_control() { char::REPLACEMENT_CHARACTER } else { it };
    text.chars().take(MAX_SHOWN).map(printable).collect::<String>().into()
}
