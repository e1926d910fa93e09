//! ZooKeeper does what we rely on, and our client with it. `contract.rs` runs the same cases against the fake.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod cases;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use zk_local::{Proxy, Server};
use zk_session::{Connect, Error, Kind, Session, ZooKeeper};

use self::cases::{Client, World, every_case};

/// One server for all cases that run at the same time.
static SERVER: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());
static CASES: AtomicU32 = AtomicU32::new(0);

/// Long enough for a machine that is busy with something else.
const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_secs(2);

struct Real {
    server: Arc<Server>,
    root: String,
    /// Each outlives its program, which says goodbye through it.
    proxies: Mutex<Vec<Arc<Proxy>>>,
}

struct Program {
    proxy: Arc<Proxy>,
    zookeeper: ZooKeeper,
}

impl Real {
    async fn new() -> Self {
        let mut shared = SERVER.lock().await;
        let server = match shared.upgrade() {
            Some(server) => server,
            None => {
                let server = Server::builder().config("maxClientCnxns", "0").start().await;
                let server = Arc::new(server.unwrap());
                *shared = Arc::downgrade(&server);
                server
            }
        };
        let root = format!("/case-{}", CASES.fetch_add(1, Ordering::Relaxed));
        let zookeeper = ZooKeeper::builder(&server.connect_string()).session_timeout(LONG).build().unwrap();
        let session = zookeeper.connect().await.unwrap();
        session.create(&root, b"", Kind::Persistent).await.unwrap();
        zookeeper.close().await;
        Self { server, root, proxies: Mutex::default() }
    }

    async fn program(&self, timeout: Duration) -> Arc<dyn Client> {
        let proxy = Arc::new(Proxy::start(self.server.address()).await.unwrap());
        self.proxies.lock().await.push(proxy.clone());
        let zookeeper = ZooKeeper::builder(&proxy.connect_string()).session_timeout(timeout).build();
        Arc::new(Program { proxy, zookeeper: zookeeper.unwrap() })
    }
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
                cases::$case(&Real::new().await).await;
            }
        };
    }
    every_case!(on_a_server);
}
