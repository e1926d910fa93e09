//! What the tests with real servers share.

#![allow(dead_code, reason = "each test file needs another part of this")]

use std::path::Path;
use std::time::Duration;

use zookeeper_client::{Acls, Client, CreateMode};

/// Bounds a wait, and says what was awaited when it is over.
pub(crate) async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    within(Duration::from_secs(120), what, wait).await
}

/// Bounds the start of servers, before which ZooKeeper may have to be installed.
pub(crate) async fn started<T>(start: impl Future<Output = Result<T, zk_local::Error>>) -> T {
    within(Duration::from_secs(1800), "ZooKeeper, or its installation", start).await.unwrap()
}

async fn within<T>(limit: Duration, what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, wait).await.unwrap_or_else(|_| panic!("waited {limit:?} in vain for {what}"))
}

/// Asks again and again until the answer is yes.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    soon(what, async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Whether there is a process; one that only waits to be reaped does not count. It has its files open as long as one of its threads lives,
/// which may be longer than the first one does.
pub(crate) fn lives(pid: u32) -> bool {
    let threads = std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task"));
    let mut stats =
        threads.into_iter().flatten().flatten().map(|it| std::fs::read_to_string(it.path().join("stat")));
    stats.any(|stat| stat.is_ok_and(|stat| !stat.contains(") Z ")))
}

pub(crate) async fn client(servers: &str) -> Client {
    // A server that stands still for a while on a busy machine has not lost it.
    let connector = Client::connector().with_session_timeout(Duration::from_secs(30));
    soon("a session", connector.connect(servers)).await.unwrap()
}

pub(crate) async fn create(client: &Client, path: &str) -> Result<(), zookeeper_client::Error> {
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    soon("the answer to a create", client.create(path, b"data", &options)).await.map(|_| ())
}

pub(crate) async fn exists(client: &Client, path: &str) -> bool {
    soon("the answer to an exists", client.check_stat(path)).await.unwrap().is_some()
}
