//! Picks one of many instances for each request, in nanoseconds, without locks and without allocating.
//!
//! A [`Balancer`] has a list of instances, fixed or followed, and an [`Algorithm`]. A [`pick`](Balancer::pick) gives a guard
//! that names the instance and counts it as in flight until it is dropped. This crate knows no ZooKeeper: lists come from a
//! channel of whole lists, such as that of the crate `registry`, or by hand.
//!
//! | algorithm | picks | take it when |
//! | --- | --- | --- |
//! | [`RoundRobin`] | one after the other | requests are alike and so are the instances |
//! | [`WeightedRoundRobin`] | each as often as its weight says | some can do more than others |
//! | [`Random`], [`WeightedRandom`] | anybody, the heavier the likelier | very many clients have to be independent |
//! | [`Hash`](struct@Hash) | the same one for the same key | instances keep something for a client, a path, a user |
//! | [`LeastConnections`] | who has the least to do | requests are of different lengths, or instances get slow |
//!
//! [`Name`] has them by name. [`Balancer::follow`] is for a service that is followed; a [`Filter`] and a [`Pool`] say who may be
//! picked ([`Balancer::builder`]); a [`Handle`] is for loops; [`Balancer::explain`] tells why. Balancers are cloned to be shared,
//! and guards may be held across an `await`. An instance whose `data.address` is `None` is reached through a broker only.
//!
//! What an algorithm prepares takes memory by the number of instances, whatever their weights: nothing for round-robin, random
//! and least-connect, 16 bytes each for weights of the latter two; weight-round-robin at most 48 bytes each, or 256 KiB; a hash
//! about 8 bytes for each of its points, of which there are 1,024 for each instance and at most 4 million (70 MB with 100,000
//! instances). There are two of it while a list is replaced.
//!
//! # Errors
//!
//! [`PickError`] says why nobody was picked: no list yet, an empty one, everybody drained, filtered out, or tried already. Whether waiting for
//! another list can help tells [`PickError::may_pass`]; [`Balancer::pick_within`] does. Nothing panics for any list or weight.
//!
//! # Examples
//!
//! ```
//! use std::collections::HashSet;
//!
//! use loadbalance::{Balancer, PickError, Request, WeightedRoundRobin};
//! use proto::{Instance, NodeData};
//!
//! let at = |address: &str, weight| Instance::new(NodeData::at(address.parse().unwrap()).with_weight(weight)).unwrap();
//! let instances = [at("a:80", 5), at("b:80", 1), at("c:80", 1)];
//! let balancer = Balancer::fixed(instances, WeightedRoundRobin::default());
//!
//! let mut cycle = String::new();
//! for _ in 0..7 {
//!     cycle += &balancer.pick(&Request::default())?.id.as_str()[..1];
//! }
//! assert_eq!(cycle, "aabaaca");
//!
//! // Another one, please: who was tried is not picked again for the same request.
//! let mut tried = HashSet::new();
//! while let Ok(picked) = balancer.pick(&Request::default().tried(&tried)) {
//!     tried.insert(picked.id.clone());
//!     picked.failed();
//! }
//! assert_eq!(tried.len(), 3);
//!
//! // What is missing is said, never guessed.
//! balancer.replace([]);
//! assert_eq!(balancer.pick(&Request::default()).unwrap_err(), PickError::Empty);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod algorithm;
mod alias;
mod balancer;
mod candidate;
mod draw;
mod error;
mod explain;
mod filter;
mod following;
mod gone;
mod handle;
mod hash;
mod least_connections;
mod name;
mod picked;
mod pool;
mod random;
mod request;
mod round_robin;
mod shared;
mod snapshot;
mod turn;
mod weighted_random;
mod weighted_round_robin;

pub use list::List;
pub use proto::{Instance, InstanceId, Metadata, NodeData};

pub use crate::algorithm::{Algorithm, Candidates, Picker};
pub use crate::balancer::{Balancer, Builder, Instances};
pub use crate::candidate::Candidate;
pub use crate::error::PickError;
pub use crate::explain::{Explained, Explanation, Verdict};
pub use crate::filter::Filter;
pub use crate::handle::Handle;
pub use crate::hash::Hash;
pub use crate::least_connections::LeastConnections;
pub use crate::name::{Name, UnknownName};
pub use crate::picked::Picked;
pub use crate::pool::Pool;
pub use crate::random::Random;
pub use crate::request::{Client, Key, KeyError, KeyKind, Request};
pub use crate::round_robin::RoundRobin;
pub use crate::weighted_random::WeightedRandom;
pub use crate::weighted_round_robin::WeightedRoundRobin;
