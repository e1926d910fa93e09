//! A service of tower that balances, and changes for tower's own balancer.
//!
//! [`Balance`] is the way in: a [`Balancer`](loadbalance::Balancer) picks for each request, by weights, keys, or what is in flight.
//! [`Discovered`] is for those who have a balancer that takes tower's `Discover`.

mod again;
mod asked;
mod balance;
mod blame;
mod completion;
mod discovered;
mod endpoints;
mod error;
mod in_flight;
mod tried;

pub use self::again::Again;
pub use self::balance::Balance;
pub use self::blame::{Blame, BlameOf};
pub use self::completion::{AnsweredBy, CompleteOnBody, Judge};
pub use self::discovered::Discovered;
pub use self::error::Error;
pub use self::in_flight::InFlight;
pub use self::tried::Tried;
