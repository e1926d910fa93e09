//! Notes what processes ask of ZooKeeper.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use zk_session::{
    Changed, Changes, Connect, Created, Error, Kind, Node, Op, Session, SessionId, Stat, ZooKeeper,
};

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Which process sent it.
    pub(crate) process: usize,
    pub(crate) what: What,
    pub(crate) path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The read that keeps the knowledge of a session fresh.
    Idle,
    /// A write that does nothing but check nodes.
    Check,
    Create,
    /// No request: the answer to one that creates a node with a sequence did not come.
    Lost,
    Delete,
    Read,
    Watch,
    Commit,
    Sync,
}

/// What some processes asked.
#[derive(Debug, Default)]
pub(crate) struct Record(Mutex<Vec<Request>>);

impl Record {
    pub(crate) fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How often this process asked this.
    pub(crate) fn count(&self, process: usize, what: What) -> usize {
        let requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().filter(|request| (request.process, request.what) == (process, what)).count()
    }

    fn note(&self, process: usize, what: What, path: &str) {
        let request = Request { process, what, path: path.to_owned() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    }
}

/// What is called before a node with a sequence is asked for.
pub(crate) type BeforeCreate = Arc<dyn Fn() + Send + Sync>;

/// Connects one process, and notes what it asks.
pub(crate) struct Recorder {
    pub(crate) zookeeper: ZooKeeper,
    pub(crate) process: usize,
    pub(crate) record: Arc<Record>,
    pub(crate) before_create: Option<BeforeCreate>,
}

#[async_trait]
impl Connect for Recorder {
    async fn connect(&self) -> Result<Arc<dyn Session>, Error> {
        let session = self.zookeeper.connect().await?;
        let (process, record) = (self.process, self.record.clone());
        Ok(Arc::new(Recorded { session, process, record, before_create: self.before_create.clone() }))
    }

    async fn close(&self) {
        self.zookeeper.close().await;
    }
}

struct Recorded {
    session: Arc<dyn Session>,
    process: usize,
    record: Arc<Record>,
    before_create: Option<BeforeCreate>,
}

impl Recorded {
    fn note(&self, what: What, path: &str) {
        self.record.note(self.process, what, path);
    }
}

#[async_trait]
impl Session for Recorded {
    fn id(&self) -> SessionId {
        self.session.id()
    }

    fn timeout(&self) -> Duration {
        self.session.timeout()
    }

    fn chroot(&self) -> &str {
        self.session.chroot()
    }

    async fn ended(&self) {
        self.session.ended().await;
    }

    async fn create(&self, path: &str, data: &[u8], kind: Kind) -> Result<Created, Error> {
        self.note(What::Create, path);
        if kind != Kind::EphemeralSequential {
            return self.session.create(path, data, kind).await;
        }
        if let Some(before_create) = &self.before_create {
            before_create();
        }
        let created = self.session.create(path, data, kind).await;
        if matches!(created, Err(Error::Interrupted)) {
            self.note(What::Lost, path);
        }
        created
    }

    async fn set(&self, path: &str, data: &[u8], version: Option<i32>) -> Result<Stat, Error> {
        self.note(What::Commit, path);
        self.session.set(path, data, version).await
    }

    async fn delete(&self, path: &str, version: Option<i32>) -> Result<(), Error> {
        self.note(What::Delete, path);
        self.session.delete(path, version).await
    }

    async fn get(&self, path: &str) -> Result<Option<Node>, Error> {
        self.note(What::Read, path);
        self.session.get(path).await
    }

    async fn exists(&self, path: &str) -> Result<Option<Stat>, Error> {
        self.note(if path == "/" { What::Idle } else { What::Read }, path);
        self.session.exists(path).await
    }

    async fn children(&self, path: &str) -> Result<Vec<String>, Error> {
        self.note(What::Read, path);
        self.session.children(path).await
    }

    async fn get_many(&self, paths: &[String]) -> Result<Vec<Result<Option<Node>, Error>>, Error> {
        self.note(What::Read, &paths.join(","));
        self.session.get_many(paths).await
    }

    async fn commit(&self, ops: &[Op]) -> Result<(), Error> {
        let checks = ops.iter().all(|op| matches!(op, Op::Check { .. }));
        self.note(if checks { What::Check } else { What::Commit }, "");
        self.session.commit(ops).await
    }

    async fn watch_node(&self, path: &str) -> Result<(Option<Node>, Changed), Error> {
        self.note(What::Watch, path);
        self.session.watch_node(path).await
    }

    async fn watch_tree(&self, path: &str) -> Result<Changes, Error> {
        self.note(What::Watch, path);
        self.session.watch_tree(path).await
    }

    async fn sync(&self, path: &str) -> Result<(), Error> {
        self.note(What::Sync, path);
        self.session.sync(path).await
    }
}

impl std::fmt::Debug for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Recorded").field(&self.session).finish()
    }
}
