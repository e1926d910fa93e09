//! The races, a file for each algorithm.

mod hash;
mod least_connections;
mod random;
mod round_robin;
mod weighted_random;
mod weighted_round_robin;

pub(crate) use self::hash::hash;
pub(crate) use self::least_connections::least_connections;
pub(crate) use self::random::random;
pub(crate) use self::round_robin::{per_thread, round_robin};
pub(crate) use self::weighted_random::weighted_random;
pub(crate) use self::weighted_round_robin::weighted_round_robin;

use crate::list::{List, Weights};
use crate::race::Case;

/// What each is held against.
pub(crate) mod floor {
    pub(crate) const A: &str = "floor a";
    pub(crate) const D: &str = "floor d";
    pub(crate) const E: &str = "floor e";
    pub(crate) const F: &str = "floor f";
}

pub(crate) use crate::peers::name as peer;

/// One algorithm, with the lists that it is measured on.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) weights: &'static [Weights],
    pub(crate) race: fn(&mut crate::Bench, &List, Case),
}

const EQUAL: &[Weights] = &[Weights::Equal];
const BOTH: &[Weights] = &[Weights::Equal, Weights::Mixed];

/// Those that do not look at weights are measured with equal ones.
pub(crate) const FAMILIES: [Family; 7] = [
    Family { name: "round-robin", weights: EQUAL, race: round_robin },
    Family { name: "round-robin per thread", weights: EQUAL, race: per_thread },
    Family { name: "weight-round-robin", weights: BOTH, race: weighted_round_robin },
    Family { name: "random", weights: EQUAL, race: random },
    Family { name: "weight-random", weights: BOTH, race: weighted_random },
    Family { name: "hash", weights: BOTH, race: hash },
    Family { name: "least-connect", weights: BOTH, race: least_connections },
];

/// A limit for up to a thousand instances, and another one above.
fn by_size(many: usize, to_a_thousand: f64, above: f64) -> Option<f64> {
    Some(if many <= 1000 { to_a_thousand } else { above })
}
