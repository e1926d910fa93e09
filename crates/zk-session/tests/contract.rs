//! The fake does what we rely on in ZooKeeper. `real_contract.rs` runs the same cases against a real server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod cases;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use zk_session::fake::{FakeClient, FakeZk, Snapshot};
use zk_session::{Connect, Error, Session};

use self::cases::{Client, Machine, World, every_case, every_case_of_a_machine};

struct Fake {
    zk: FakeZk,
    saved: Mutex<Option<Snapshot>>,
}

struct Program {
    zk: FakeZk,
    client: FakeClient,
}

#[async_trait]
impl World for Fake {
    fn root(&self) -> &str {
        "/case"
    }

    async fn client(&self) -> Arc<dyn Client> {
        Arc::new(Program { zk: self.zk.clone(), client: self.zk.client() })
    }

    async fn mortal(&self) -> Arc<dyn Client> {
        self.client().await
    }

    async fn make_long(&self, name: &str) {
        self.zk.put(&format!("{}/{name}", self.root()), "");
    }

    async fn forgets_trees(&self) -> bool {
        true
    }
}

#[async_trait]
impl Machine for Fake {
    async fn stop(&self) {
        self.zk.stop();
    }

    async fn start(&self) {
        self.zk.start();
    }

    async fn save(&self) {
        *self.saved.lock().unwrap() = Some(self.zk.snapshot());
    }

    async fn go_back(&self) {
        self.zk.restore(self.saved.lock().unwrap().as_ref().unwrap());
    }

    async fn reap(&self) {
        self.zk.reap_containers();
    }
}

#[async_trait]
impl Connect for Program {
    async fn connect(&self) -> Result<Arc<dyn Session>, Error> {
        self.client.connect().await
    }

    async fn close(&self) {
        self.client.close().await;
    }
}

#[async_trait]
impl Client for Program {
    async fn cut(&self) {
        self.zk.disconnect(self.client.session().unwrap());
    }

    async fn set_reachable(&self, reachable: bool) {
        self.client.set_reachable(reachable);
    }

    async fn lose_next_reply(&self) {
        self.zk.lose_next_reply_of(self.client.session().unwrap());
    }
}

mod fake {
    use super::*;

    macro_rules! on_the_fake {
        ($case:ident) => {
            #[tokio::test(start_paused = true)]
            async fn $case() {
                // In the same order each time, then in a few others.
                for seed in [None, Some(1), Some(2), Some(3)] {
                    let zk = FakeZk::default();
                    zk.put("/case", "");
                    let zk = match seed {
                        Some(seed) => zk.with_seed(seed),
                        None => zk,
                    };
                    cases::$case(&Fake { zk, saved: Mutex::default() }).await;
                }
            }
        };
    }
    every_case!(on_the_fake);
    every_case_of_a_machine!(on_the_fake);
}
