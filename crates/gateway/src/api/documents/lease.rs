//! What programs register, and how that stands.

use serde::de;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// What a program registers.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Registration)]
#[expect(dead_code, reason = "read field by field, for better refusals; the document is made of it")]
pub(crate) struct RegistrationDocument {
    /// The host name or IP address that it listens at; with `server_port`.
    #[schema(example = "10.0.0.7")]
    server_ip: Option<String>,
    /// The port.
    #[schema(example = 8897, minimum = 1)]
    server_port: Option<u16>,
    /// Who it is behind a message broker; needed where there is no address.
    server_unique_code: Option<String>,
    /// Its share of the requests: 1 unless given; 0 is registered and never picked.
    weight: Option<u32>,
    /// When it was first registered, in Unix milliseconds: now unless given.
    registered_at: Option<u64>,
    /// Whatever else is worth knowing: zone, version, tags.
    metadata: Option<std::collections::HashMap<String, String>>,
    /// Within how many seconds it will be renewed: 30 unless given. They are counted from the answer.
    #[schema(minimum = 1, maximum = 600, default = 30)]
    ttl: Option<u32>,
}

/// What changes of an instance: one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Change)]
pub(crate) struct ChangeDocument {
    /// Its new share of the requests.
    #[serde(default, deserialize_with = "weight")]
    pub(crate) weight: Option<u32>,
    /// True: it stays registered and is picked no more. False: it has the weight again that it had before.
    #[serde(default, deserialize_with = "drain")]
    pub(crate) drain: Option<bool>,
}

fn weight<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    named("weight", from)
}

fn drain<'de, D: Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    named("drain", from)
}

/// What is derived does not say which field has the wrong type.
fn named<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    field: &str,
    from: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(from).map_err(|error| de::Error::custom(format_args!("{field}: {error}")))
}

/// How an instance stands that this gateway registers.
#[derive(Serialize, ToSchema)]
#[schema(as = Lease)]
pub(crate) struct LeaseDocument {
    /// The service.
    pub(crate) service: String,
    /// The instance.
    pub(crate) id: String,
    /// Tells this registration from others of the same id: whoever sends it along changes nobody else's.
    pub(crate) lease: String,
    /// Its share of the requests, as was said last. It is listed with that once ZooKeeper has it.
    pub(crate) weight: u32,
    /// How many seconds it lasts after each renewal.
    pub(crate) ttl: u64,
    /// When it is over unless it is renewed, in Unix milliseconds.
    pub(crate) ends: u64,
    /// How it stands.
    pub(crate) state: LeaseState,
    /// Why it is not registered yet, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
    /// Whether another program had registered it here, and was not asked.
    pub(crate) took_over: bool,
}

/// How a registration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LeaseState {
    /// It is in ZooKeeper.
    Registered,
    /// It is not known to be, or not with what was said last: it will be as soon as ZooKeeper is there.
    Registering,
    /// A newer process has registered the same id.
    Replaced,
}
