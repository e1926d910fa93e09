//! Nodes that join a cluster by exchanging one JSON object each over TCP, without ZooKeeper.
//!
//! A node connects to any member, sends one object, reads one, and the connection closes. Old programs do the same, and both
//! kinds may be in one cluster: see [`Request`] and [`Answer`] for what goes over the wire.
//!
//! [`join`] is the side of the joiner. [`Member`] listens and answers. Nobody is authenticated, and no member tells the others
//! whom it knows: each knows those that joined by it.
//!
//! # Errors
//!
//! [`join`] gives a [`JoinError`]: nobody answered in time, it was no answer, or we were refused. A [`Member`] goes on whatever a peer sends;
//! whom it turned away, and why, comes by a channel as a [`Trouble`].
//!
//! # Examples
//!
//! ```
//! use cluster::{Address, Limits, Member, Node, PATIENCE, join};
//! use tokio::net::TcpListener;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let at: Address = listener.local_addr()?.to_string().parse()?;
//! let (master, _troubles) = Member::start(listener, Node::draw(at.clone()), Limits::default());
//!
//! let joiner = Node::draw("127.0.0.1:8002".parse()?);
//! let answer = join(&joiner, &at, PATIENCE).await?;
//! assert_eq!(answer.from.address(), &at);
//!
//! let members = master.members();
//! assert_eq!(members.borrow().last(), Some(&joiner));
//! # Ok(())
//! # }
//! ```

mod admission;
mod fields;
mod joining;
mod member;
mod message;
mod node;
mod reading;
mod text;
mod trouble;

pub use proto::{Address, AddressError};

pub use crate::admission::{Arrival, Refusal, arrivals};
pub use crate::joining::{JoinError, join};
pub use crate::member::{Limits, Member};
pub use crate::message::{Answer, MessageError, Request};
pub use crate::node::{IdError, MAX_ID, Node};
pub use crate::reading::{MAX_BYTES, Object, ObjectError, ReadError};
pub use crate::trouble::{Trouble, Turned};

/// How long one exchange may take in all, on either side.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
