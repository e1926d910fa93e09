//! What the examples of Headkeeper share: which ZooKeeper they run on, and a service to ask. Run one with
//! `cargo run -p examples --example quickstart`.
//!
//! # Errors
//!
//! An example fails with the first thing that is not as it says, and ends with 1.
//!
//! # Examples
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> anyhow::Result<()> {
//! let keeper = examples::keeper()?; // ZK_CONNECT, or a fake one inside this process
//! keeper.close().await;
//! # Ok(())
//! # }
//! ```

pub mod clock;

use zk_session::fake::FakeZk;
use zk_session::{Keeper, ZooKeeper};

/// What an example connects to: the servers that ZK_CONNECT names (`zk1:2181,zk2:2181/some/path`), or a fake ZooKeeper inside this process
/// where it names none.
///
/// # Errors
///
/// When ZK_CONNECT is not a list of servers.
pub fn keeper() -> anyhow::Result<Keeper> {
    Ok(match std::env::var("ZK_CONNECT") {
        Ok(servers) => Keeper::start(ZooKeeper::builder(&servers).build()?),
        Err(_) => Keeper::start(FakeZk::default().client()),
    })
}
