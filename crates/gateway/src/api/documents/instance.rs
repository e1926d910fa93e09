//! Instances.

use loadbalance::Instance;
use proto::Metadata;
use serde::Serialize;
use utoipa::ToSchema;

use super::Trust;

/// An instance of a service.
#[derive(Serialize, ToSchema)]
#[schema(as = Instance)]
pub(crate) struct InstanceDocument<'a> {
    /// Its name, unique within the service.
    id: &'a str,
    /// What it says about itself.
    #[serde(flatten)]
    data: DataDocument<'a>,
}

impl<'a> InstanceDocument<'a> {
    pub(crate) fn of(instance: &'a Instance) -> Self {
        Self { id: instance.id.as_str(), data: DataDocument::of(&instance.data) }
    }
}

/// What an instance says about itself.
#[derive(Serialize, ToSchema)]
#[schema(as = NodeData)]
pub(crate) struct DataDocument<'a> {
    /// The host name or IP address that it listens at.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_ip: Option<&'a str>,
    /// The port.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_port: Option<u16>,
    /// Who it is behind a message broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_unique_code: Option<&'a str>,
    /// Its share of the requests; 0 is registered and never picked.
    weight: u32,
    /// When it was first registered, in Unix milliseconds, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    registered_at: Option<u64>,
    /// Whatever else is worth knowing: zone, version, tags.
    #[schema(value_type = std::collections::HashMap<String, String>)]
    metadata: &'a Metadata,
}

impl<'a> DataDocument<'a> {
    pub(crate) fn of(data: &'a proto::NodeData) -> Self {
        Self {
            server_ip: data.address.as_ref().map(proto::Address::host),
            server_port: data.address.as_ref().map(proto::Address::port),
            server_unique_code: data.unique_code.as_deref(),
            weight: data.weight,
            registered_at: Some(data.registered_at).filter(|at| *at != 0),
            metadata: &data.metadata,
        }
    }
}

/// One instance, as far as this gateway knows it.
#[derive(Serialize, ToSchema)]
#[schema(as = OneInstance)]
pub(crate) struct OneInstanceDocument<'a> {
    /// The service.
    pub(crate) service: &'a str,
    /// The instance as it is listed; null while it is not.
    pub(crate) instance: Option<InstanceDocument<'a>>,
    /// How far the list can be trusted.
    pub(crate) source: Trust,
    /// Whether this gateway registers it.
    pub(crate) ours: bool,
    /// When it is over unless it is renewed, in Unix milliseconds, if this gateway registers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ends: Option<u64>,
}
