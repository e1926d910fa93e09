//! For users of tower, tonic, hyper and axum: services that are followed and balanced, and servers that are registered.
//!
//! | feature | what it gives | for |
//! | --- | --- | --- |
//! | `tower` | `tower::Balance`: a service that balances each request | clients of anything |
//! |         | `tower::Discovered`: changes of a followed service | tower's own balancer, and others that take `Discover` |
//! | `hyper` | `hyper::client`: a client of HTTP/1.1; `hyper::client_with`: by TLS | clients of HTTP |
//! | `tonic` | `tonic::Channel`: a channel that picks for each RPC | clients of gRPC |
//! | `axum` | `axum::Server`: serves, is in the list while it is ready, and leaves in order | servers |
//!
//! None is on by default. The first three know no ZooKeeper: who may be picked is for a [`Balancer`](loadbalance::Balancer), whose
//! lists come through a channel, such as that of the crate `registry`.
//!
//! # Who is asked, and what is told of it
//!
//! Each request is picked for by itself, also over connections that are kept. It counts as in flight until its answer is over, the
//! body and its trailers included; an answer that is dropped is over then. What fails is told to the balancer, which for `LeastConnections` alone passes over
//! the instance for a while; other algorithms pick it as before, so try again. Nobody is taken out for that: who is there is for the list to say.
//!
//! With nobody to ask a request fails at once, and says why, or waits as long as it is allowed to. Nothing is sent twice.
//! [`Again`](tower::Again) with `tower::retry` tries elsewhere where nothing was sent at all, because an instance that crashed is in the list still, for example; with tonic, whose
//! requests cannot be cloned, the caller repeats where [`tonic::error_of`] says so. For more,
//! put a layer around that tries again, and a [`Tried`](tower::Tried) into the request, so that the second try goes elsewhere.
//!
//! An instance that leaves the list, is drained, or is elsewhere under the same id gets no more requests; those that run are finished, and
//! then its connections are closed.
//!
//! # Errors
//!
//! [`tower::Error`] says who was asked, and what came of it; nothing was sent when there was nobody. [`tonic::Channel`] makes
//! a `tonic::Status` of it, `UNAVAILABLE` where there is nobody to ask now, whose source is that error.
//!
//! # Examples
//!
#![cfg_attr(feature = "tower", doc = "```")]
#![cfg_attr(not(feature = "tower"), doc = "```ignore")]
//! use adapters::tower::Balance;
//! use loadbalance::{Balancer, Instance, NodeData, RoundRobin};
//! use tower::{Service, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (lists, receiver) = tokio::sync::watch::channel(None); // or registry.follow(&service).instances()
//! let balancer = Balancer::follow(receiver, RoundRobin::default());
//! let mut client = Balance::new(balancer, |instance| {
//!     let id = instance.id.clone();
//!     Ok(service_fn(move |()| std::future::ready(Ok::<_, std::io::Error>(id.clone())))) // asks it
//! });
//! assert_eq!(client.ready().await?.call(()).await.unwrap_err().to_string(), "no instance can be asked");
//!
//! let instance = Instance::new(NodeData::at("10.0.0.7:80".parse()?))?;
//! lists.send_replace(Some([std::sync::Arc::new(instance)].into()));
//! let mut client = client.wait(std::time::Duration::from_secs(5));
//! assert_eq!(client.ready().await?.call(()).await?.as_str(), "10.0.0.7:80");
//! # Ok(())
//! # }
//! ```
//!
//! This page leads to what features bring: `cargo doc -p adapters --all-features`.
#![cfg_attr(
    not(all(feature = "axum", feature = "hyper", feature = "tonic", feature = "tower")),
    allow(rustdoc::broken_intra_doc_links, reason = "what a feature brings is not there without it")
)]

#[cfg(any(feature = "hyper", feature = "tonic"))]
mod authority;

#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "hyper")]
pub mod hyper;
#[cfg(feature = "tonic")]
pub mod tonic;
#[cfg(feature = "tower")]
pub mod tower;
