//! A server of axum that is registered while it is ready, and leaves in order: no request fails at clients that hear of it in time
//! ([`Server::heard`], 2 s unless set).
//!
//! [`Server`] is the way in.

mod connections;
mod first_bytes;
mod listed;
mod readiness;
mod server;

pub use self::server::{Ended, Server};
