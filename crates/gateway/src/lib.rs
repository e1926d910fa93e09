//! The registry over HTTP, a reverse proxy with rules, and a console.
//!
//! Programs in any language register and discover with plain HTTP: a [`Fleet`] follows the services that are asked for, one watch
//! each however many ask, and [`api`] answers from it. Requests for the services themselves go through a [`proxy`] that balances by the same
//! lists. [`serve`](mod@serve) listens for both.
//!
//! # Errors
//!
//! Whoever asks over HTTP gets a [`Problem`]: a status, and a document that says what was wrong and what is accepted. That ZooKeeper is away is no
//! error while there is a list from before: the answer says since when it is stale.
//!
//! # Examples
//!
//! The server here is a fake; a real one is connected to with `zk_session::ZooKeeper`. The router is asked without a network; `serve::serve`
//! has it listen.
//!
//! ```
//! use axum::body::Body;
//! use axum::http::Request;
//! use gateway::{App, Fleet, Guard, api, fleet};
//! use leader::Election;
//! use proto::{NodeData, Root, ServiceName};
//! use registry::{Native, Registry};
//! use tower::ServiceExt;
//! use zk_session::Keeper;
//! use zk_session::fake::FakeZk;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keeper = Keeper::start(FakeZk::default().client());
//! let registry = Registry::new(keeper.sessions(), Native::default());
//! let election = Election::new(keeper.sessions(), Root::default());
//! let time = ServiceName::parse("time")?;
//! let here = registry.announce(&time, NodeData::at("127.0.0.1:8897".parse()?))?;
//! here.registered().await?;
//!
//! let fleet = Fleet::start(registry, Some(election), [time], fleet::Options::default());
//! let router = api::router(App::new(fleet), Guard::default());
//! let request = Request::get("/v1/services/time").header("host", "localhost").body(Body::empty())?;
//! let response = router.oneshot(request).await?;
//! assert_eq!(response.status(), 200);
//!
//! keeper.close().await;
//! # Ok(())
//! # }
//! ```

pub mod api;
mod authority;
mod console;
mod deadline;
mod entity_tag;
pub mod fleet;
pub mod guard;
mod leases;
mod metrics;
mod problem;
mod proxied;
pub mod proxy;
pub mod serve;
mod socket;
pub mod tls;
mod wall;

pub use crate::api::App;
pub use crate::fleet::Fleet;
pub use crate::guard::Guard;
pub use crate::leases::Leases;
pub use crate::metrics::Metrics;
pub use crate::problem::Problem;
