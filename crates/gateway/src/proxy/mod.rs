//! A reverse proxy: rules say to which service a request goes, and a balancer to which instance.

mod admission;
mod answer;
mod body;
mod budget;
mod connecting;
mod connections;
mod ejection;
mod elements;
mod entrance;
mod exchange;
mod figures;
mod forwarded;
mod headers;
mod length;
mod lookups;
mod outgoing;
pub mod path;
mod peer;
mod problem;
mod retry;
mod routes;
pub mod rules;
mod sending;
mod service;
mod strict;
mod tunnel;
mod upstreams;

pub use self::body::{Body, BoxError};
pub use self::entrance::{Proxy, Served};
pub use self::figures::{BOUNDS, Figures, Latencies, Outcome};
pub use self::peer::Peer;
pub use self::rules::{Rules, RulesError};
pub use self::strict::{Strict, Upgraded};
pub use self::upstreams::Upstreams;
