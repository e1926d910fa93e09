//! A server of axum that is registered while it is ready, and leaves without a failed request.
//!
//! [`Server`] is the way in.

mod connections;
mod first_bytes;
mod listed;
mod readiness;
mod server;

pub use self::server::{Ended, Server};
