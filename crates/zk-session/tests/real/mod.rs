//! What the tests of connections share.
#![allow(dead_code, clippy::unwrap_used, reason = "helpers of tests, of which each file uses a part")]

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use zk_local::{Proxy, Server};
use zk_session::{Builder, Connect, Error, Session, ZooKeeper};

/// More than anything here takes, even on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A session so long that a fifth and a third of it are told apart on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(15);

/// Waits for what must come, and fails where it would hang.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(LIMIT, what).await.expect("it takes too long")
}

pub(crate) fn options(connect: impl std::fmt::Display) -> Builder {
    ZooKeeper::builder(&connect.to_string()).session_timeout(Duration::from_secs(4))
}

pub(crate) fn zookeeper(connect: impl std::fmt::Display) -> ZooKeeper {
    options(connect).build().unwrap()
}

/// The next connection, tried again while no server can be reached.
pub(crate) async fn connected(zookeeper: &ZooKeeper) -> Arc<dyn Session> {
    soon(async {
        loop {
            match zookeeper.connect().await {
                Ok(session) => return session,
                Err(Error::Unreachable { .. }) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await
}

/// Waits until there is no such node any more.
pub(crate) async fn gone(session: &dyn Session, path: &str) {
    soon(async {
        loop {
            let (node, changed) = session.watch_node(path).await.unwrap();
            if node.is_none() {
                return;
            }
            changed.await;
        }
    })
    .await;
}

/// A server, and a way to it that can be broken.
pub(crate) async fn behind_proxy() -> (Server, Proxy) {
    let server = Server::builder().max_session(4 * LONG).start().await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    (server, proxy)
}

pub(crate) fn is_interrupted<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Interrupted))
}
