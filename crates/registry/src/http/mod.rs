//! The registry over HTTP: for programs that reach a gateway and no ZooKeeper.
//!
//! [`Gateways`] are asked, whichever can be reached. [`follow`](Gateways::follow) gives a [`Discovery`], with the same lists in the same
//! channel as [`registry::Discovery`](crate::Discovery) has: a balancer works on them unchanged. [`announce`](Gateways::announce) gives a
//! [`Registration`], which a gateway keeps for as long as it is renewed. The client of ZooKeeper is not even compiled for any of it, where nothing
//! else asks for that.
//!
//! # Examples
//!
//! ```no_run
//! use registry::{NodeData, ServiceName};
//! use registry::http::Gateways;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let gateways = Gateways::builder("http://10.0.0.5:8480,http://10.0.0.6:8480").token("5f3a").build()?;
//! let discovery = gateways.follow(&ServiceName::parse("time")?);
//! for instance in &discovery.ready().await? {
//!     println!("{}", instance.id);
//! }
//! let here = gateways.announce(discovery.service(), NodeData::at("10.0.0.7:8897".parse()?))?;
//! here.registered().await?;
//! here.withdraw().await;
//! // For a balancer: Balancer::follow(discovery.instances(), RoundRobin::from_anywhere()).
//! # Ok(())
//! # }
//! ```

mod address;
mod discovery;
mod document;
mod doubt;
mod events;
mod exchange;
mod following;
mod gateways;
mod path;
mod patience;
mod problem;
mod published;
mod registration;
mod renewing;
#[cfg(feature = "http-tls")]
mod tls;
mod turn;

pub use self::discovery::Discovery;
pub use self::gateways::{Builder, Gateways};
pub use self::problem::Problem;
pub use self::registration::{Registration, Status};
#[cfg(feature = "http-tls")]
pub use self::tls::Tls;
