//! One connection to the fake, as its user holds it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::channel::oneshot;
use tokio::sync::watch;

use super::requests::Asked;
use super::server::{Accepted, ConnectionId, Server};
use super::shared::Shared;
use super::tree::{Done, Failed, Outcome, not_authorized, refused};
use crate::limits;
use crate::path;
use crate::{Changed, Changes, Created, Error, Kind, Node, Op, READ_BATCH, Session, SessionId, Stat};

/// A session over one connection to a fake. It does not keep the connection: the client does.
pub(super) struct FakeSession {
    server: Arc<Shared>,
    connection: ConnectionId,
    id: SessionId,
    timeout: Duration,
    ended: watch::Receiver<bool>,
}

impl fmt::Debug for FakeSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeSession").field("id", &self.id).field("ended", &*self.ended.borrow()).finish()
    }
}

/// A request that was sent. Dropped before its answer came, it is executed all the same.
struct Sent<'a> {
    session: &'a FakeSession,
    ticket: u64,
}

impl Sent<'_> {
    fn arrive(&self) {
        let FakeSession { server, connection, .. } = self.session;
        server.with(|server| server.execute(*connection, self.ticket));
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        self.arrive();
    }
}

impl FakeSession {
    pub(super) fn new(server: Arc<Shared>, accepted: Accepted) -> Self {
        let Accepted { connection, session, timeout, ended } = accepted;
        Self { server, connection, id: session, timeout, ended }
    }

    /// Sends a request, lets others run, has it executed, lets others run, and hands the answer over.
    async fn ask<T: Send + 'static>(
        &self,
        asked: Asked,
        execute: impl FnOnce(&mut Server, ConnectionId) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let run = Box::new(move |server: &mut Server, by: ConnectionId, heard: bool| {
            let result = execute(server, by);
            if heard {
                // Nobody listens when the call was dropped.
                let _ = answer.send(result);
            }
        });
        let (ticket, before, after) = self
            .server
            .with(|server| (server.send(self.connection, asked, run), server.yields(), server.yields()));
        let sent = Sent { session: self, ticket: ticket.ok_or(Error::Interrupted)? };
        for _ in 0..before {
            tokio::task::yield_now().await;
        }
        sent.arrive();
        let result = answered.await.map_err(|_| Error::Interrupted)?;
        for _ in 0..after {
            tokio::task::yield_now().await;
        }
        result
    }

    /// Waits while what was read of one of these is held back.
    async fn let_go(&self, paths: &[impl AsRef<str> + Sync]) -> Result<(), Error> {
        let is_held = |server: &mut Server| {
            let held = &server.reads_held;
            !held.is_empty() && paths.iter().any(|path| held.contains(path.as_ref()))
        };
        let free = async {
            loop {
                let changed = self.server.changed();
                if !self.server.with(is_held) {
                    return;
                }
                changed.await;
            }
        };
        tokio::select! {
            biased;
            () = free => Ok(()),
            () = self.ended() => Err(Error::Interrupted),
        }
    }

    async fn write(&self, asked: Asked, op: Op) -> Result<Outcome, Error> {
        self.ask(asked, move |server, by| {
            let Done { mut outcomes, .. } = server.write(by, &[op]).map_err(|failed| failed.error)?;
            Ok(outcomes.pop().expect("one operation has one outcome"))
        })
        .await
    }
}

#[async_trait]
impl Session for FakeSession {
    fn id(&self) -> SessionId {
        self.id
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    /// There is none: all that the server has is below `/`.
    fn chroot(&self) -> &str {
        "/"
    }

    async fn ended(&self) {
        // The sender goes only after it said so; either way it is over.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }

    async fn create(&self, path: &str, data: &[u8], kind: Kind) -> Result<Created, Error> {
        limits::check_create(path, data, kind)?;
        let op = Op::Create { path: path.to_owned(), data: data.to_vec(), kind };
        match self.write(Asked::Create, op).await? {
            Outcome::Created(created) => Ok(created),
            other => unreachable!("a create gave {other:?}"),
        }
    }

    async fn set(&self, path: &str, data: &[u8], version: Option<i32>) -> Result<Stat, Error> {
        path::check(path)?;
        limits::check_data(path, data)?;
        let op = Op::Set { path: path.to_owned(), data: data.to_vec(), version };
        match self.write(Asked::Set, op).await? {
            Outcome::Set(stat) => Ok(stat),
            other => unreachable!("a set gave {other:?}"),
        }
    }

    async fn delete(&self, path: &str, version: Option<i32>) -> Result<(), Error> {
        path::check_node(path)?;
        self.write(Asked::Delete, Op::Delete { path: path.to_owned(), version }).await?;
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<Option<Node>, Error> {
        path::check(path)?;
        let of = path.to_owned();
        let node = self.ask(Asked::Get, move |server, _| server.read(&of)).await;
        self.let_go(&[path]).await?;
        node
    }

    async fn exists(&self, path: &str) -> Result<Option<Stat>, Error> {
        path::check(path)?;
        let path = path.to_owned();
        self.ask(Asked::Exists, move |server, _| Ok(server.read(&path)?.map(|node| node.stat))).await
    }

    async fn children(&self, path: &str) -> Result<Vec<String>, Error> {
        path::check(path)?;
        let of = path.to_owned();
        let names = self.ask(Asked::List, move |server, _| {
            let names = server.tree.children(&of).ok_or(Error::NoNode)?;
            server.may_read(&of, "list")?;
            Ok(names)
        });
        let names = names.await;
        self.let_go(&[path]).await?;
        names
    }

    async fn get_many(&self, paths: &[String]) -> Result<Vec<Result<Option<Node>, Error>>, Error> {
        let (sent, refused) = path::sort_out(paths);
        let mut nodes = Vec::with_capacity(sent.len());
        for batch in sent.chunks(READ_BATCH) {
            let batch = batch.to_vec();
            let read = self.ask(Asked::Batch, move |server, _| {
                Ok(batch.iter().map(|path| server.read(path)).collect::<Vec<_>>())
            });
            nodes.extend(read.await?);
        }
        self.let_go(&sent).await?;
        Ok(path::put_back(nodes, refused))
    }

    async fn commit(&self, ops: &[Op]) -> Result<(), Error> {
        limits::check_commit(ops)?;
        if ops.is_empty() {
            return Ok(());
        }
        let ops = ops.to_vec();
        self.ask(Asked::Multi, move |server, by| match server.write(by, &ops) {
            Ok(_) => Ok(()),
            Err(Failed { error: Error::Interrupted, .. }) => Err(Error::Interrupted),
            Err(Failed { index, error }) => Err(Error::Aborted { index, source: Box::new(error) }),
        })
        .await
    }

    async fn watch_node(&self, path: &str) -> Result<(Option<Node>, Changed), Error> {
        path::check(path)?;
        let path = path.to_owned();
        self.ask(Asked::Watch, move |server, by| {
            let node = server.read(&path)?;
            Ok((node, server.watches.node(by, &path)))
        })
        .await
    }

    async fn watch_tree(&self, path: &str) -> Result<Changes, Error> {
        path::check(path)?;
        let path = path.to_owned();
        self.ask(Asked::Watch, move |server, by| Ok(server.watches.tree(by, &path))).await
    }

    async fn sync(&self, path: &str) -> Result<(), Error> {
        path::check(path)?;
        self.ask(Asked::Sync, |_, _| Ok(())).await?;
        self.let_go(&[path]).await
    }
}

impl Server {
    fn read(&self, path: &str) -> Result<Option<Node>, Error> {
        let Some(node) = self.tree.get(path) else { return Ok(None) };
        self.may_read(path, "read")?;
        Ok(Some(node))
    }

    fn may_read(&self, path: &str, verb: &str) -> Result<(), Error> {
        if self.reads_refused_at.contains(path) {
            return Err(not_authorized(verb, path));
        }
        refused(&self.reads_refused, path, verb)
    }
}
