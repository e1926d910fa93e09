//! A server of axum that is registered while it is ready, and leaves in order: no request fails at clients that hear of it in time
//! ([`Server::heard`], 2 s unless set).
//!
//! [`Server`] is the way in: a router of axum, on a listener of TCP.
//!
//! # gRPC
//!
//! Services of tonic are a router, too, and are served in the same way, with those of HTTP beside them where that is wanted. RPCs that run are finished
//! like requests; a stream that has no end is cut off after [`finish`](Server::finish).
//!
//! ```
//! use tonic::service::Routes;
//!
//! let (_reporter, health) = tonic_health::server::health_reporter();
//! let router: axum::Router = Routes::new(health).into_axum_router();
//! // server.serve(listener, router, stop).await?
//! # drop(router);
//! ```
//!
//! # What is not possible
//!
//! - TLS: `serve` takes a `TcpListener`, and speaks HTTP in the clear. Put a proxy in front that ends it, or serve by yourself (`axum-server`, tonic's own
//!   `Server`), with a `registry::Registration` that you drain, wait for, and withdraw.
//! - Other listeners, such as those of Unix sockets: an instance is found by a host and a port.
//! - tonic's own `Server` with what it alone has: limits for each connection, keep-alive of HTTP/2, time-outs. Layers of tower go around the router instead.
//! - Two listeners for one registration: serve one here, and the other beside it until this has ended.

mod connections;
mod first_bytes;
mod listed;
mod readiness;
mod server;

pub use self::server::{Ended, Server};
