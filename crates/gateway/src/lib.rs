//! The registry over HTTP, a reverse proxy with rules, and a console.
//!
//! Programs in any language register and discover with plain HTTP: a [`Fleet`] follows the services that are asked for, one watch
//! each however many ask, and [`api`] answers from it. Requests for the services themselves go through a [`proxy`] that balances by the same
//! lists. [`serve`] listens for both.

pub mod api;
mod authority;
mod console;
mod entity_tag;
pub mod fleet;
pub mod guard;
mod leases;
mod metrics;
mod problem;
mod proxied;
pub mod proxy;
pub mod serve;
pub mod tls;
mod wall;

pub use crate::api::App;
pub use crate::fleet::Fleet;
pub use crate::guard::Guard;
pub use crate::leases::Leases;
pub use crate::metrics::Metrics;
pub use crate::problem::Problem;
