//! A reverse proxy: rules say to which service a request goes, and a balancer to which instance.

#[expect(dead_code, reason = "forwarding comes next")]
mod ejection;
pub mod path;
pub mod rules;
mod upstreams;

pub use self::rules::{Rules, RulesError};
pub use self::upstreams::Upstreams;
