//! What is answered, as JSON. The OpenAPI document is made of the same types.

use leader::Master;
use loadbalance::Instance;
use proto::Metadata;
use registry::BadNode;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;
use zk_session::Source;

use crate::fleet::{Leading, Published};

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

/// All services.
#[derive(Serialize, ToSchema)]
#[schema(as = Services)]
pub(crate) struct ServicesDocument {
    /// How far the list can be trusted.
    pub(crate) source: Trust,
    /// Since when it is not known to be the truth, in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stale_since: Option<u64>,
    /// The services, in the order of their names.
    pub(crate) services: Vec<ServiceCount>,
}

/// A service and how much of it there is.
#[derive(Serialize, ToSchema)]
pub(crate) struct ServiceCount {
    /// What it is called.
    pub(crate) name: String,
    /// How many instances it has.
    pub(crate) instances: usize,
}

/// A service: its instances and its master.
#[derive(Serialize, ToSchema)]
#[schema(as = Service)]
pub(crate) struct ServiceDocument<'a> {
    /// What it is called.
    service: &'a str,
    /// The number of this state; it grows with each state that this gateway publishes, of any service.
    revision: u64,
    /// Tells the numbers of this gateway from those of others.
    gateway: &'a str,
    /// How far the list of instances can be trusted.
    source: Trust,
    /// Since when it is not known to be the truth, in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_since: Option<u64>,
    /// Who leads; null when nobody does, or nobody is known to.
    master: Option<MasterDocument<'a>>,
    /// How far that can be trusted.
    master_source: Trust,
    /// The instances, in the order of their ids.
    instances: Vec<InstanceDocument<'a>>,
    /// What is registered and cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    unusable: Vec<Unusable<'a>>,
}

impl<'a> ServiceDocument<'a> {
    pub(crate) fn of(published: &'a Published) -> Self {
        let Published { service, revision, view, leading, stale_since, .. } = published;
        Self {
            service: service.as_str(),
            revision: revision.number(),
            gateway: revision.gateway(),
            source: view.source.into(),
            stale_since: *stale_since,
            master: leading.master().map(|master| MasterDocument::of(master)),
            master_source: master_source(leading),
            instances: view.entries.iter().map(|instance| InstanceDocument::of(instance)).collect(),
            unusable: view.bad.iter().map(Unusable::of).collect(),
        }
    }
}

fn master_source(leading: &Leading) -> Trust {
    match leading {
        Leading::Never => Trust::Never,
        Leading::Unknown => Trust::Unknown,
        Leading::Known { source, .. } => (*source).into(),
    }
}

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
    /// When it was first registered, in Unix milliseconds; 0 while that is not known.
    registered_at: u64,
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
            registered_at: data.registered_at,
            metadata: &data.metadata,
        }
    }
}

/// Who leads a service.
#[derive(Serialize, ToSchema)]
#[schema(as = Leader)]
pub(crate) struct MasterDocument<'a> {
    /// Under which id it stands for election.
    id: &'a str,
    /// Its fencing token.
    term: i64,
    /// Since when it stands for election, in Unix milliseconds.
    stands_since: u64,
    /// What it says about itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<DataDocument<'a>>,
    /// Why that cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    bad: Option<&'a str>,
}

impl<'a> MasterDocument<'a> {
    pub(crate) fn of(master: &'a Master) -> Self {
        let (data, bad) = match &master.data {
            Ok(data) => (Some(DataDocument::of(data)), None),
            Err(reason) => (None, Some(reason.as_str())),
        };
        Self { id: &master.id, term: master.term.0, stands_since: master.stands_since, data, bad }
    }
}

/// Something that is registered and cannot be read.
#[derive(Serialize, ToSchema)]
pub(crate) struct Unusable<'a> {
    /// Where it is in ZooKeeper.
    path: &'a str,
    /// What is wrong with it.
    reason: &'a str,
}

impl<'a> Unusable<'a> {
    fn of(bad: &'a BadNode) -> Self {
        Self { path: &bad.path, reason: &bad.reason }
    }
}

/// Who leads a service, if anybody does.
#[derive(Serialize, ToSchema)]
#[schema(as = Master)]
pub(crate) struct LeadingDocument<'a> {
    /// What the service is called.
    service: &'a str,
    /// Who leads; null when nobody does.
    master: Option<MasterDocument<'a>>,
    /// How far that can be trusted.
    source: Trust,
}

impl<'a> LeadingDocument<'a> {
    pub(crate) fn of(published: &'a Published) -> Self {
        Self {
            service: published.service.as_str(),
            master: published.leading.master().map(|master| MasterDocument::of(master)),
            source: master_source(&published.leading),
        }
    }
}

/// Who was picked.
#[derive(Serialize, ToSchema)]
#[schema(as = Pick)]
pub(crate) struct PickDocument<'a> {
    /// What the service is called.
    pub(crate) service: &'a str,
    /// What chose.
    pub(crate) algorithm: &'a str,
    /// Who was chosen.
    pub(crate) picked: InstanceDocument<'a>,
    /// Why, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) explanation: Option<Vec<ExplainedDocument<'a>>>,
}

/// How one instance fared in a pick.
#[derive(Serialize, ToSchema)]
#[schema(as = Explained)]
pub(crate) struct ExplainedDocument<'a> {
    /// Its name.
    id: &'a str,
    /// Its weight.
    weight: u32,
    /// How many of the requests that this gateway forwards it has in flight.
    in_flight: u32,
    /// How many of its requests that ended last failed, one after the other.
    failures: u32,
    /// The part of the requests that it gets in the long run; null where that is not known.
    #[serde(serialize_with = "finite")]
    share: Option<f64>,
    /// What became of it: chosen, not-chosen, tried, drained, filtered, master.
    #[schema(value_type = String)]
    verdict: loadbalance::Verdict,
    /// Why.
    because: &'a str,
}

impl<'a> ExplainedDocument<'a> {
    pub(crate) fn of(explained: &'a loadbalance::Explained) -> Self {
        let loadbalance::Explained { id, weight, in_flight, failures, share, verdict, because } = explained;
        Self {
            id: id.as_str(),
            weight: *weight,
            in_flight: *in_flight,
            failures: *failures,
            share: *share,
            verdict: *verdict,
            because,
        }
    }
}

/// A share that is no number cannot be written.
fn finite<S: Serializer>(share: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
    share.filter(|share| share.is_finite()).serialize(to)
}

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
    /// The services that were configured, and what is known of each.
    pub(crate) services: Vec<ReadyService>,
}

/// What is known of a service.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReadyService {
    /// What it is called.
    pub(crate) name: String,
    /// How far the list of its instances can be trusted.
    pub(crate) source: Trust,
}

/// What a program registers.
#[derive(ToSchema)]
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
    /// Within how many seconds it will be renewed: 30 unless given.
    #[schema(minimum = 1, maximum = 600, default = 30)]
    ttl: Option<u32>,
}

/// What changes of an instance: one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Change)]
pub(crate) struct ChangeDocument {
    /// Its new share of the requests.
    pub(crate) weight: Option<u32>,
    /// True: it stays registered and is picked no more. False: it has the weight again that it had before.
    pub(crate) drain: Option<bool>,
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
    /// It is not known to be: it will be as soon as ZooKeeper is there.
    Registering,
    /// A newer process has registered the same id.
    Replaced,
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
