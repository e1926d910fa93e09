//! What is answered, as JSON. The OpenAPI document is made of the same types.

mod health;
mod instance;
mod lease;
mod pick;
mod service;

use serde::Serialize;
use utoipa::ToSchema;
use zk_session::Source;

pub(crate) use self::health::{HealthDocument, ReadinessDocument, ReadyService};
pub(crate) use self::instance::{InstanceDocument, OneInstanceDocument};
pub(crate) use self::lease::{ChangeDocument, LeaseDocument, LeaseState, RegistrationDocument};
pub(crate) use self::pick::{ExplainedDocument, PickDocument};
pub(crate) use self::service::{LeadingDocument, ServiceCount, ServiceDocument, ServicesDocument};

/// Writes a document as JSON behind what is there.
pub(crate) fn write(document: &impl Serialize, to: &mut Vec<u8>) {
    serde_json::to_writer(to, document).expect("text and numbers can always be written to memory");
}

/// How far something can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Trust {
    /// It is what ZooKeeper says.
    Live,
    /// It is the last that was known.
    Stale,
    /// ZooKeeper has not told yet.
    Unknown,
    /// There is no such thing in this layout.
    Never,
}

impl From<Source> for Trust {
    fn from(source: Source) -> Self {
        match source {
            Source::Live => Self::Live,
            Source::Stale { .. } => Self::Stale,
        }
    }
}
