//! Leader election on ZooKeeper: at most one process acts, and everybody can ask who.
//!
//! An [`Election`] works on the sessions of a [`zk_session::Keeper`]. [`campaign`](Election::campaign) gives a
//! [`Candidacy`]: a place in the line, that is taken again after every outage, until it resigns. When its turn comes it gives a
//! [`Leadership`], with a [`Term`], the fencing token, and a lease: [`Leadership::holds`], asked right before every act, says no
//! before ZooKeeper lets anybody else lead, whatever happened to connections, servers or this process meanwhile.
//! [`observe`](Election::observe) tells everybody else who leads. Where candidates are in ZooKeeper is a [`Layout`]: ours, or that of
//! the old Go framework, where they stand for election beside its programs.
//!
//! # Errors
//!
//! Losing a leadership is no error but ordinary: [`Leadership::lost`] says why. That ZooKeeper is away is none either: what is awaited waits, so put
//! a limit around it. [`Error::Interrupted`] says of a [`commit`](Leadership::commit) that it may have happened; [`Error::Lost`] and
//! [`Error::Aborted`] that it has not; [`Error::Over`] that we have resigned; [`Error::SessionTooShort`] that ZooKeeper grants
//! sessions under [`LEAST_TIMEOUT`].
//!
//! # Examples
//!
//! The server here is a fake; a real one is connected to with `zk_session::ZooKeeper`.
//!
//! ```
//! use leader::{Election, Lost};
//! use proto::{NodeData, Root, ServiceName};
//! use zk_session::Keeper;
//! use zk_session::fake::FakeZk;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let zk = FakeZk::default();
//! let keeper = Keeper::start(zk.client());
//! let election = Election::new(keeper.sessions(), Root::default());
//! let time = ServiceName::parse("time")?;
//!
//! let candidacy = election.campaign(&time, NodeData::at("127.0.0.1:8897".parse()?))?;
//! let leadership = candidacy.elected().await?;
//! if leadership.holds() {
//!     println!("acting in term {}", leadership.term());
//! }
//!
//! let master = election.master(&time).await?.expect("somebody leads");
//! assert_eq!((master.id.as_str(), master.term), ("127.0.0.1:8897", leadership.term()));
//!
//! candidacy.resign().await;
//! assert_eq!((leadership.holds(), leadership.lost().await), (false, Lost::Resigned));
//! keeper.close().await;
//! # Ok(())
//! # }
//! ```

mod campaign;
mod candidacy;
mod election;
mod error;
mod fenced;
mod layout;
mod leadership;
mod line;
mod master;
mod observer;
mod running;
mod seat;
mod standing_by;
mod turn;

use std::time::Duration;

pub use proto::master_normal::Credentials;
pub use proto::{InstanceId, Metadata, NodeData, Root, ServiceName};
pub use zk_session::{Kind, Op, Source};

pub use crate::candidacy::{Candidacy, Status};
pub use crate::election::Election;
pub use crate::error::Error;
pub use crate::layout::Layout;
pub use crate::leadership::{Leadership, Lost, Term};
pub use crate::master::Master;
pub use crate::observer::{Observer, View};
pub use crate::standing_by::OwnNode;

/// The shortest session timeout that leaves room for a lease: it is renewed every tenth of it, and ends a fifth before it.
pub const LEAST_TIMEOUT: Duration = Duration::from_millis(500);
