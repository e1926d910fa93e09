//! A reverse proxy: rules say to which service a request goes, and a balancer to which instance.

mod upstreams;

pub use self::upstreams::Upstreams;
