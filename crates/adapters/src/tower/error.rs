//! Why a request was not answered.

use loadbalance::{InstanceId, PickError};
use tower::BoxError;

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nobody to ask, also after the time that [`Balance::wait`](super::Balance::wait) says. Nothing was sent.
    #[error("no instance can be asked")]
    Nobody(#[source] PickError),

    /// There is nothing to ask this instance with: it has no address, perhaps. Nothing was sent, and nobody else was left to be
    /// asked.
    #[error("instance {id} cannot be asked")]
    Unusable {
        /// Which instance.
        id: InstanceId,
        /// What was wrong with it.
        source: BoxError,
    },

    /// The instance was asked, or was to be asked, and gave no answer. Whether it did what was asked is for the source to say.
    #[error("instance {id} did not answer")]
    Failed {
        /// Which instance.
        id: InstanceId,
        /// Whether it is known that nothing was sent: [`Blame::Unreached`](super::Blame::Unreached).
        unsent: bool,
        /// What the service that asks it said.
        source: BoxError,
    },
}

impl Error {
    /// Which instance was to answer; `None` when there was nobody.
    pub fn instance(&self) -> Option<&InstanceId> {
        match self {
            Self::Nobody(_) => None,
            Self::Unusable { id, .. } | Self::Failed { id, .. } => Some(id),
        }
    }

    /// Whether it is known that nothing was sent: what was asked is not done, and may be asked again by anybody.
    pub fn is_unsent(&self) -> bool {
        match self {
            Self::Nobody(_) | Self::Unusable { .. } => true,
            Self::Failed { unsent, .. } => *unsent,
        }
    }
}
