//! Real ZooKeeper servers on this machine, and a TCP proxy that breaks connections on purpose: for tests, benches
//! and demonstrations.
//!
//! A [`Server`] is up within half a second, listens on 127.0.0.1 only, keeps everything in a temporary folder, and is
//! gone with the value: also when a test panics, and when this process is killed; a folder that it left then goes when the next server is
//! started. It can be stopped, killed, frozen and
//! started again. An [`Ensemble`] is three of them. A [`Proxy`] stands between a client and a server, and
//! cuts, stalls, delays or loses what passes.
//!
//! ZooKeeper and Java are looked for on this machine, and on Debian installed where that is possible; see
//! [`Installation::find`].
//!
//! # Errors
//!
//! [`Error::Missing`] says what is not on this machine and the ways to get it, [`Error::Ended`] has the last lines of the log of a server that
//! did not start, and every wait has a limit ([`Error::TimedOut`]).
//!
//! # Examples
//!
//! ```no_run
//! use std::time::Duration;
//! use zk_local::{Proxy, Server};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder().tick(Duration::from_millis(100)).start().await?;
//! let proxy = Proxy::start(server.address()).await?;
//! println!("clients connect to {}", proxy.connect_string());
//!
//! proxy.cut(); // every connection ends now, and may be made again
//! server.restart().await?; // as after a crash: same port, same data
//! # Ok(())
//! # }
//! ```

mod builder;
mod config;
mod ensemble;
mod error;
mod find;
mod folder;
mod frames;
mod install;
mod introduction;
mod leading;
mod ports;
mod process;
mod progress;
mod proxy;
mod pump;
mod server;
mod temporary;
mod words;

pub use builder::Builder;
pub use ensemble::{Ensemble, EnsembleBuilder};
pub use error::Error;
pub use find::Installation;
pub use folder::Snapshot;
pub use ports::free_port;
pub use process::mortal;
pub use proxy::{Direction, Proxy, Traffic};
pub use server::Server;
pub use words::Role;
