//! What the tests of connections share.
#![allow(dead_code, clippy::unwrap_used, reason = "helpers of tests, of which each file uses a part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::time::timeout;
use zk_local::{Proxy, Server};
use zk_session::{Builder, Connect, Error, Kind, Session, ZooKeeper};

/// More than anything here takes, even on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A session that does not end, and of which no silence is noticed, while anything here is waited for: where one is used, what happens happens
/// for another reason.
pub(crate) const ENDLESS: Duration = Duration::from_secs(600);

/// A session of which a fifth and a third are told apart on a machine that is not too busy.
pub(crate) const LONG: Duration = Duration::from_secs(15);

/// Waits for what must come, and fails where it would hang.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(LIMIT, what).await.expect("it takes too long")
}

/// With a session that a server which stands still for a while, on a busy machine, does not end.
pub(crate) fn options(connect: impl std::fmt::Display) -> Builder {
    ZooKeeper::builder(&connect.to_string()).session_timeout(Duration::from_secs(30))
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

/// A connection whose session has this node. With a short session a connection may be lost before that, on a busy machine.
pub(crate) async fn with_node(zookeeper: &ZooKeeper, path: &str) -> Arc<dyn Session> {
    soon(async {
        loop {
            let session = connected(zookeeper).await;
            match session.create(path, b"", Kind::Ephemeral).await {
                Ok(_) => return session,
                Err(Error::NodeExists) => match session.exists(path).await {
                    Ok(Some(stat)) if stat.owner == Some(session.id()) => return session,
                    Ok(_) | Err(Error::Interrupted) => {}
                    Err(error) => panic!("{error}"),
                },
                Err(Error::Interrupted) => {}
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await
}

/// An address at which nobody listens, and nobody can while the socket is kept.
pub(crate) fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
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

/// One that grants as long a session as is asked for here.
pub(crate) async fn server() -> Server {
    Server::builder().max_session(ENDLESS).start().await.unwrap()
}

/// A server, and a way to it that can be broken.
pub(crate) async fn behind_proxy() -> (Server, Proxy) {
    let server = server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    (server, proxy)
}

pub(crate) fn is_interrupted<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Interrupted))
}
