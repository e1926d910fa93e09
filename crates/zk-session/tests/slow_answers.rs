//! What a follower keeps while a server does not answer, on the fake.

mod common;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use common::eventually;
use common::following::DIR;
use futures::StreamExt;
use futures::stream;
use tokio::sync::watch;
use zk_session::fake::{FakeClient, FakeZk};
use zk_session::{
    Changed, Changes, Connect, Created, Directory, Error, Keeper, Kind, Node, Op, Options, Session,
    SessionId, Stat,
};

/// What a process asks and is told.
#[derive(Clone)]
struct Line {
    /// Whether reads of nodes are answered.
    answers: watch::Receiver<bool>,
    /// How many notifications were taken out of the channel.
    taken: Arc<AtomicU64>,
}

/// Connects it to the fake.
struct Slow {
    client: FakeClient,
    line: Line,
}

struct SlowSession {
    session: Arc<dyn Session>,
    line: Line,
}

#[async_trait]
impl Connect for Slow {
    async fn connect(&self) -> Result<Arc<dyn Session>, Error> {
        let session = self.client.connect().await?;
        Ok(Arc::new(SlowSession { session, line: self.line.clone() }))
    }

    async fn close(&self) {
        self.client.close().await;
    }
}

impl SlowSession {
    async fn answered(&self) {
        // The test holds the sender for as long as it asks anything.
        let _ = self.line.answers.clone().wait_for(|answers| *answers).await;
    }
}

#[async_trait]
impl Session for SlowSession {
    fn id(&self) -> SessionId {
        self.session.id()
    }

    fn timeout(&self) -> Duration {
        self.session.timeout()
    }

    async fn ended(&self) {
        self.session.ended().await;
    }

    async fn create(&self, path: &str, data: &[u8], kind: Kind) -> Result<Created, Error> {
        self.session.create(path, data, kind).await
    }

    async fn set(&self, path: &str, data: &[u8], version: Option<i32>) -> Result<Stat, Error> {
        self.session.set(path, data, version).await
    }

    async fn delete(&self, path: &str, version: Option<i32>) -> Result<(), Error> {
        self.session.delete(path, version).await
    }

    async fn get(&self, path: &str) -> Result<Option<Node>, Error> {
        self.answered().await;
        self.session.get(path).await
    }

    async fn exists(&self, path: &str) -> Result<Option<Stat>, Error> {
        self.session.exists(path).await
    }

    async fn children(&self, path: &str) -> Result<Vec<String>, Error> {
        self.session.children(path).await
    }

    async fn get_many(&self, paths: &[String]) -> Result<Vec<Result<Option<Node>, Error>>, Error> {
        self.answered().await;
        self.session.get_many(paths).await
    }

    async fn commit(&self, ops: &[Op]) -> Result<(), Error> {
        self.session.commit(ops).await
    }

    async fn watch_node(&self, path: &str) -> Result<(Option<Node>, Changed), Error> {
        self.session.watch_node(path).await
    }

    async fn watch_tree(&self, path: &str) -> Result<Changes, Error> {
        let changes = self.session.watch_tree(path).await?;
        let told = stream::unfold(changes, async |mut changes| Some((changes.next().await?, changes)));
        let taken = self.line.taken.clone();
        Ok(Changes::new(told.inspect(move |_| {
            taken.fetch_add(1, Ordering::Relaxed);
        })))
    }

    async fn sync(&self, path: &str) -> Result<(), Error> {
        self.session.sync(path).await
    }
}

impl fmt::Debug for SlowSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SlowSession").field(&self.session).finish()
    }
}

#[tokio::test(start_paused = true)]
async fn notifications_are_taken_in_while_an_answer_is_waited_for_and_each_node_is_read_once() {
    const NODES: u64 = 10;
    const CHANGES: u64 = 1_000;
    let zk = FakeZk::default();
    let put = |number: u64, round: u64| zk.put(&format!("{DIR}/n{}", number % NODES), round.to_string());
    (0..NODES).for_each(|number| put(number, 0));
    let (answer, answers) = watch::channel(false);
    let line = Line { answers, taken: Arc::default() };
    let keeper = Keeper::start(Slow { client: zk.client(), line: line.clone() });
    let read = Arc::new(|_: &str, node: &Node| Ok(Some(String::from_utf8_lossy(&node.data).into_owned())));
    let directory = Directory::follow(keeper.sessions(), DIR.to_owned(), Options::default(), read);
    let mut lists = directory.entries();
    let all_say = async |lists: &mut watch::Receiver<_>, said: u64| {
        let equal = |list: &Option<zk_session::Entries<String>>| {
            list.as_ref().is_some_and(|list| list.iter().all(|entry| **entry == said.to_string()))
        };
        let found = tokio::time::timeout(common::LIMIT, lists.wait_for(equal)).await;
        found.expect("in time").expect("followed").as_ref().map(zk_session::List::len)
    };

    // While the first list is read, and then while a change is.
    for round in [1, 2] {
        let before = line.taken.load(Ordering::Relaxed);
        if round == 2 {
            answer.send_replace(false);
            put(0, round);
        } else {
            eventually("the nodes are asked for", || zk.requests().total() > 0).await;
        }
        // It is one after the other that happens, so that none of them is told together with another.
        for number in 0..CHANGES {
            put(number, round);
        }
        let taken = || line.taken.load(Ordering::Relaxed) - before;
        eventually("all notifications are taken in", || taken() >= CHANGES).await;
        zk.reset_requests();
        answer.send_replace(true);
        assert_eq!(all_say(&mut lists, round).await, Some(10));
        assert!(zk.requests().total() <= 3, "{:?}", zk.requests());
    }
    keeper.close().await;
}
