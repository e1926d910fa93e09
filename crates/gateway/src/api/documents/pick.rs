//! Picks.

use loadbalance::Name;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::Trust;
use super::instance::InstanceDocument;
use crate::fleet::Published;

/// Who was picked.
#[derive(Serialize, ToSchema)]
#[schema(as = Pick)]
pub(crate) struct PickDocument<'a> {
    /// What the service is called.
    service: &'a str,
    /// What chose.
    algorithm: &'a str,
    /// How far the list can be trusted that it was chosen from.
    source: Trust,
    /// Who was chosen.
    picked: InstanceDocument<'a>,
    /// Why, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Vec<ExplainedDocument<'a>>>,
}

impl<'a> PickDocument<'a> {
    /// This one was picked from this state of its service.
    pub(crate) fn new(now: &'a Published, algorithm: Name, picked: InstanceDocument<'a>) -> Self {
        let (service, source) = (now.service.as_str(), now.view.source.into());
        Self { service, algorithm: algorithm.as_str(), source, picked, explanation: None }
    }

    /// For these reasons.
    pub(crate) fn explained(self, explanation: Vec<ExplainedDocument<'a>>) -> Self {
        Self { explanation: Some(explanation), ..self }
    }
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
