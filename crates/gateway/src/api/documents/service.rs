//! Services, and who leads them.

use leader::Master;
use registry::BadNode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Trust;
use super::instance::{DataDocument, InstanceDocument};
use crate::fleet::{Leading, Published};

/// All services.
#[derive(Serialize, ToSchema)]
#[schema(as = Services)]
pub(crate) struct ServicesDocument {
    /// How far the list can be trusted; `unknown`: there may be services that are not in it.
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
    /// How many instances it has; null when ZooKeeper refuses to tell, or has not told yet. Of a service that nobody follows here all nodes count, also those
    /// that cannot be read.
    pub(crate) instances: Option<usize>,
}

/// A service: its instances and its master.
#[derive(Serialize, ToSchema)]
#[schema(as = Service)]
pub(crate) struct ServiceDocument<'a> {
    /// What it is called.
    service: &'a str,
    /// Names this state: another one of this gateway or of another has another. Without its quotes it is the entity tag.
    revision: String,
    /// How far the list of instances can be trusted.
    source: Trust,
    /// Since when it is not known to be the truth, in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_since: Option<u64>,
    /// Who leads; null when nobody does, or nobody is known to.
    master: Option<MasterDocument<'a>>,
    /// How far that can be trusted.
    master_source: Trust,
    /// True: the master gets no requests that others may answer, as long as any of them has a weight.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    master_is_spared: bool,
    /// The instances, in the order of their ids.
    instances: Vec<InstanceDocument<'a>>,
    /// What is registered and cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    unusable: Vec<Unusable<'a>>,
}

impl<'a> ServiceDocument<'a> {
    pub(crate) fn of(published: &'a Published) -> Self {
        let Published { service, revision, view, leading, roles, stale_since, .. } = published;
        Self {
            service: service.as_str(),
            revision: revision.to_string(),
            source: view.source.into(),
            stale_since: *stale_since,
            master: leading.master().map(|master| MasterDocument::of(master)),
            master_source: master_source(leading),
            master_is_spared: *roles,
            instances: view.entries.iter().map(|instance| InstanceDocument::of(instance)).collect(),
            unusable: view.bad.iter().map(|bad| Unusable::of(bad)).collect(),
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
