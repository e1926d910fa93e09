//! The requests of a [`Session`] over one connection.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, StreamExt, TryStreamExt};
use tracing::debug;
use zookeeper_client::{
    Acls, AddWatchMode, CreateMode, Error as Zk, EventType, MultiReadResult, MultiWriteError, MultiWriter,
    PersistentWatcher,
};

use super::connection::Connection;
use super::refusal::refusal;
use crate::limits;
use crate::path;
use crate::{
    Change, Changed, Changes, Created, Error, Kind, Node, Op, READ_BATCH, Session, SessionId, Stat, What,
};

/// How many batches of one [`Session::get_many`] are asked for at once: enough to keep the server busy, few enough
/// that large nodes do not fill the memory.
const BATCHES_AHEAD: usize = 4;

/// The number that stands for "any version" on the wire.
const ANY_VERSION: i32 = -1;

/// A connection as its users hold it. It does not keep the session: the [`ZooKeeper`](super::ZooKeeper) does.
#[derive(Debug)]
pub(super) struct Line(pub(super) Arc<Connection>);

impl Line {
    fn add(&self, writer: &mut MultiWriter<'_>, op: &Op) -> Result<(), Zk> {
        match op {
            Op::Check { path, version } => writer.add_check_version(path, version.unwrap_or(ANY_VERSION)),
            Op::Create { path, data, kind } => {
                writer.add_create(path, data, &mode(*kind).with_acls(Acls::from(self.0.acl())))
            }
            Op::Set { path, data, version } => writer.add_set_data(path, data, *version),
            Op::Delete { path, version } => writer.add_delete(path, *version),
        }
    }
}

impl Connection {
    /// Sends a request and says what its failure means.
    async fn request<T, F: Future<Output = Result<T, Zk>>>(
        &self,
        doing: &str,
        path: &str,
        send: impl FnOnce() -> F,
    ) -> Result<T, Error> {
        let answer = self.ask(send).await.ok_or(Error::Interrupted)?;
        answer.map_err(|error| self.failed(&error, doing, path))
    }

    /// As [`refusal`]; ends the connection where it cannot be trusted any more.
    fn failed(&self, error: &Zk, doing: &str, path: &str) -> Error {
        let refusal = refusal(error, doing, path);
        if matches!(refusal, Error::Interrupted) {
            debug!(session = %self.id(), %error, doing, path, "giving the connection to ZooKeeper up");
            self.end();
        }
        refusal
    }

    async fn read_batch(&self, paths: &[String]) -> Result<Vec<Result<Option<Node>, Error>>, Error> {
        let client = self.client()?;
        let first = paths.first().map_or("/", String::as_str);
        let mut reader = client.new_multi_reader();
        for path in paths {
            reader.add_get_data(path).map_err(|error| self.failed(&error, "read", path))?;
        }
        let results = self.request("read", first, || reader.commit()).await?;
        if results.len() != paths.len() {
            self.end();
            return Err(Error::Interrupted);
        }
        let node = |(path, result): (&String, MultiReadResult)| match result {
            MultiReadResult::Data { data, stat } => Ok(Some(node(data, &stat))),
            MultiReadResult::Error { err: Zk::NoNode } => Ok(None),
            MultiReadResult::Error { err } => Err(self.failed(&err, "read", path)),
            _ => Err(self.failed(&Zk::RuntimeInconsistent, "read", path)),
        };
        Ok(paths.iter().zip(results).map(node).collect())
    }
}

#[async_trait]
impl Session for Line {
    fn id(&self) -> SessionId {
        self.0.id()
    }

    fn timeout(&self) -> Duration {
        self.0.timeout()
    }

    fn chroot(&self) -> &str {
        self.0.chroot()
    }

    async fn ended(&self) {
        self.0.ended().await;
    }

    async fn create(&self, path: &str, data: &[u8], kind: Kind) -> Result<Created, Error> {
        limits::check_create(path, data, kind)?;
        let client = self.0.client()?;
        let options = mode(kind).with_acls(Acls::from(self.0.acl()));
        let (stat, sequence) = self.0.request("create", path, || client.create(path, data, &options)).await?;
        let path = match kind {
            Kind::EphemeralSequential => format!("{path}{sequence}"),
            Kind::Persistent | Kind::Container | Kind::Ephemeral => path.to_owned(),
        };
        Ok(Created { path, stat: to_stat(&stat) })
    }

    async fn set(&self, path: &str, data: &[u8], version: Option<i32>) -> Result<Stat, Error> {
        limits::check_data(path, data)?;
        path::check(path)?;
        let client = self.0.client()?;
        let stat = self.0.request("write", path, || client.set_data(path, data, version)).await?;
        Ok(to_stat(&stat))
    }

    async fn delete(&self, path: &str, version: Option<i32>) -> Result<(), Error> {
        path::check_node(path)?;
        let client = self.0.client()?;
        self.0.request("delete", path, || client.delete(path, version)).await
    }

    async fn get(&self, path: &str) -> Result<Option<Node>, Error> {
        path::check(path)?;
        let client = self.0.client()?;
        match self.0.request("read", path, || client.get_data(path)).await {
            Ok((data, stat)) => Ok(Some(node(data, &stat))),
            Err(Error::NoNode) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn exists(&self, path: &str) -> Result<Option<Stat>, Error> {
        path::check(path)?;
        let client = self.0.client()?;
        let stat = self.0.request("look for", path, || client.check_stat(path)).await?;
        Ok(stat.as_ref().map(to_stat))
    }

    async fn children(&self, path: &str) -> Result<Vec<String>, Error> {
        path::check(path)?;
        let client = self.0.client()?;
        self.0.request("list", path, || client.list_children(path)).await
    }

    async fn get_many(&self, paths: &[String]) -> Result<Vec<Result<Option<Node>, Error>>, Error> {
        let (sent, refused) = path::sort_out(paths);
        let batches: Vec<_> = sent.chunks(READ_BATCH).map(|batch| self.0.read_batch(batch)).collect();
        let answers = stream::iter(batches).buffered(BATCHES_AHEAD).try_concat().await?;
        Ok(path::put_back(answers, refused))
    }

    async fn commit(&self, ops: &[Op]) -> Result<(), Error> {
        limits::check_commit(ops)?;
        let Some(first) = ops.first() else { return Ok(()) };
        let client = self.0.client()?;
        let mut writer = client.new_multi_writer();
        for op in ops {
            self.add(&mut writer, op).map_err(|error| self.0.failed(&error, doing(op), op_path(op)))?;
        }
        match self.0.ask(|| writer.commit()).await.ok_or(Error::Interrupted)? {
            Ok(_) => Ok(()),
            Err(MultiWriteError::RequestFailed { source }) => {
                Err(self.0.failed(&source, "commit to", op_path(first)))
            }
            Err(MultiWriteError::OperationFailed { index, source }) => {
                let Some(op) = ops.get(index) else {
                    return Err(self.0.failed(&Zk::RuntimeInconsistent, "", ""));
                };
                match self.0.failed(&source, doing(op), op_path(op)) {
                    Error::Interrupted => Err(Error::Interrupted),
                    source => Err(Error::Aborted { index, source: Box::new(source) }),
                }
            }
        }
    }

    async fn watch_node(&self, path: &str) -> Result<(Option<Node>, Changed), Error> {
        path::check(path)?;
        let client = self.0.client()?;
        loop {
            let read = self.0.request("watch", path, || client.get_and_watch_data(path)).await;
            let (there, watcher) = match read {
                Ok((data, stat, watcher)) => (Some(node(data, &stat)), watcher),
                Err(Error::NoNode) => {
                    match self.0.request("watch", path, || client.check_and_watch_stat(path)).await? {
                        (None, watcher) => (None, watcher),
                        // It was created in between.
                        (Some(_), _) => continue,
                    }
                }
                Err(error) => return Err(error),
            };
            let connection = self.0.clone();
            let changed = async move { what(connection.while_open(watcher.changed()).await?.event_type) };
            return Ok((there, Changed::new(changed)));
        }
    }

    async fn watch_tree(&self, path: &str) -> Result<Changes, Error> {
        path::check(path)?;
        let client = self.0.client()?;
        let watch = || client.watch(path, AddWatchMode::PersistentRecursive);
        let watcher = self.0.request("watch everything below", path, watch).await?;
        let changes = stream::unfold((self.0.clone(), watcher), async |(connection, mut watcher)| {
            let change = connection.while_open(next_change(&mut watcher)).await??;
            Some((change, (connection, watcher)))
        });
        Ok(Changes::new(changes))
    }

    async fn sync(&self, path: &str) -> Result<(), Error> {
        path::check(path)?;
        let client = self.0.client()?;
        self.0.request("sync", path, || client.sync(path)).await
    }
}

/// The next change of a tree, `None` when there are no more: the client panics if it is asked again then.
async fn next_change(watcher: &mut PersistentWatcher) -> Option<Change> {
    loop {
        let event = watcher.changed().await;
        match event.event_type {
            // Recursive watches do not give these.
            EventType::NodeChildrenChanged => {}
            happened => return what(happened).map(|what| Change { path: event.path, what }),
        }
    }
}

/// What happened to a node; `None` is for what happens to the session.
fn what(happened: EventType) -> Option<What> {
    match happened {
        EventType::NodeCreated => Some(What::Created),
        EventType::NodeDataChanged | EventType::NodeChildrenChanged => Some(What::Changed),
        EventType::NodeDeleted => Some(What::Deleted),
        EventType::Session => None,
    }
}

fn mode(kind: Kind) -> CreateMode {
    match kind {
        Kind::Persistent => CreateMode::Persistent,
        Kind::Container => CreateMode::Container,
        Kind::Ephemeral => CreateMode::Ephemeral,
        Kind::EphemeralSequential => CreateMode::EphemeralSequential,
    }
}

fn doing(op: &Op) -> &'static str {
    match op {
        Op::Check { .. } => "check",
        Op::Create { .. } => "create",
        Op::Set { .. } => "write",
        Op::Delete { .. } => "delete",
    }
}

fn op_path(op: &Op) -> &str {
    match op {
        Op::Check { path, .. } | Op::Create { path, .. } | Op::Set { path, .. } | Op::Delete { path, .. } => {
            path
        }
    }
}

fn node(data: Vec<u8>, stat: &zookeeper_client::Stat) -> Node {
    Node { data, stat: to_stat(stat) }
}

fn to_stat(stat: &zookeeper_client::Stat) -> Stat {
    Stat {
        czxid: stat.czxid,
        mzxid: stat.mzxid,
        version: stat.version,
        created_at: stat.ctime.try_into().unwrap_or(0),
        owner: owner(stat.ephemeral_owner),
        children: usize::try_from(stat.num_children).unwrap_or(0),
    }
}

/// The owner's field says what kind of node it is too: 0 is a plain one, the smallest number a container.
fn owner(field: i64) -> Option<SessionId> {
    (field != 0 && field != i64::MIN).then_some(SessionId(field))
}
