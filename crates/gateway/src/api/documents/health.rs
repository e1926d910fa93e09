//! Whether the gateway serves.

use serde::Serialize;
use utoipa::ToSchema;

use super::Trust;

/// That this process serves.
#[derive(Serialize, ToSchema)]
#[schema(as = Health)]
pub(crate) struct HealthDocument {
    /// `ok`.
    pub(crate) status: &'static str,
}

/// That it has what it needs.
#[derive(Serialize, ToSchema)]
#[schema(as = Readiness)]
pub(crate) struct ReadinessDocument {
    /// `ready`.
    pub(crate) status: &'static str,
    /// The services that it needs, and what is known of each; only for those who may ask for services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) services: Option<Vec<ReadyService>>,
}

/// What is known of a service.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReadyService {
    /// What it is called.
    pub(crate) name: String,
    /// How far the list of its instances can be trusted.
    pub(crate) source: Trust,
}
