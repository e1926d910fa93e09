//! ZooKeeper does what we rely on, and our client with it. `contract.rs` runs the same cases against the fake.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod cases;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use zk_local::{Proxy, Server, Snapshot};
use zk_session::{Connect, Error, Kind, Session, ZooKeeper};

use self::cases::{Client, Machine, World, every_case, every_case_of_a_machine};

/// One server for all cases that run at the same time.
static SERVER: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());
static CASES: AtomicU32 = AtomicU32::new(0);

/// Longer than anything is waited for.
const LONG: Duration = Duration::from_secs(600);
/// Long enough for a machine that is busy with something else.
const SHORT: Duration = Duration::from_secs(12);

struct Real {
    server: Arc<Server>,
    root: String,
    /// Each outlives its program, which says goodbye through it.
    proxies: Mutex<Vec<Arc<Proxy>>>,
    saved: Mutex<Option<Snapshot>>,
}

struct Program {
    proxy: Arc<Proxy>,
    zookeeper: ZooKeeper,
}

impl Real {
    /// On a server that is shared with other cases.
    async fn shared() -> Self {
        let mut shared = SERVER.lock().await;
        let server = match shared.upgrade() {
            Some(server) => server,
            None => {
                let server = start().await;
                *shared = Arc::downgrade(&server);
                server
            }
        };
        drop(shared);
        Self::on(server).await
    }

    async fn alone() -> Self {
        Self::on(start().await).await
    }

    async fn on(server: Arc<Server>) -> Self {
        let root = format!("/case-{}", CASES.fetch_add(1, Ordering::Relaxed));
        let zookeeper = ZooKeeper::builder(&server.connect_string()).session_timeout(LONG).build().unwrap();
        let session = zookeeper.connect().await.unwrap();
        session.create(&root, b"", Kind::Persistent).await.unwrap();
        zookeeper.close().await;
        Self { server, root, proxies: Mutex::default(), saved: Mutex::default() }
    }

    async fn program(&self, timeout: Duration) -> Arc<dyn Client> {
        let proxy = Arc::new(Proxy::start(self.server.address()).await.unwrap());
        self.proxies.lock().await.push(proxy.clone());
        let zookeeper = ZooKeeper::builder(&proxy.connect_string()).session_timeout(timeout).build();
        Arc::new(Program { proxy, zookeeper: zookeeper.unwrap() })
    }
}

/// A server that looks for containers all the time, not once a minute.
async fn start() -> Arc<Server> {
    let server = Server::builder()
        .max_session(LONG)
        .config("maxClientCnxns", "0")
        .property("znode.container.checkIntervalMs", "100");
    Arc::new(server.start().await.unwrap())
}

#[async_trait]
impl World for Real {
    fn root(&self) -> &str {
        &self.root
    }

    async fn client(&self) -> Arc<dyn Client> {
        self.program(LONG).await
    }

    async fn mortal(&self) -> Arc<dyn Client> {
        self.program(SHORT).await
    }

    /// Under a chroot the path is short for us, and not for the others.
    async fn make_long(&self, name: &str) {
        let inside = format!("{}{}", self.server.connect_string(), self.root);
        let zookeeper = ZooKeeper::builder(&inside).session_timeout(LONG).build().unwrap();
        let session = zookeeper.connect().await.unwrap();
        session.create(&format!("/{name}"), b"", Kind::Persistent).await.unwrap();
        zookeeper.close().await;
    }

    async fn forgets_trees(&self) -> bool {
        let said = self.server.four_letter("srvr").await.unwrap();
        ["3.6.", "3.7.", "3.8."].iter().any(|old| said.contains(&format!("version: {old}")))
    }
}

#[async_trait]
impl Machine for Real {
    async fn stop(&self) {
        self.server.stop().await.unwrap();
    }

    async fn start(&self) {
        self.server.start_again().await.unwrap();
    }

    async fn save(&self) {
        *self.saved.lock().await = Some(self.server.snapshot_data().await.unwrap());
    }

    async fn go_back(&self) {
        self.server.restore_data(self.saved.lock().await.as_ref().unwrap()).await.unwrap();
    }

    async fn reap(&self) {}
}

#[async_trait]
impl Connect for Program {
    async fn connect(&self) -> Result<Arc<dyn Session>, Error> {
        self.zookeeper.connect().await
    }

    async fn close(&self) {
        self.zookeeper.close().await;
    }
}

#[async_trait]
impl Client for Program {
    async fn cut(&self) {
        self.proxy.cut();
    }

    async fn set_reachable(&self, reachable: bool) {
        self.proxy.refuse(!reachable);
        if !reachable {
            self.proxy.cut();
        }
    }

    async fn lose_next_reply(&self) {
        self.proxy.lose_next_reply();
    }
}

mod real {
    use super::*;

    macro_rules! on_a_server {
        ($case:ident) => {
            #[tokio::test]
            async fn $case() {
                cases::$case(&Real::shared().await).await;
            }
        };
    }
    every_case!(on_a_server);

    macro_rules! on_its_own_server {
        ($case:ident) => {
            #[tokio::test]
            async fn $case() {
                cases::$case(&Real::alone().await).await;
            }
        };
    }
    every_case_of_a_machine!(on_its_own_server);
}
