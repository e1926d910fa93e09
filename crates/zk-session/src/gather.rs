//! Gathers what many ask for at the same time into few requests.
//!
//! A lone request goes out at once, as it is. What arrives while requests are under way is sent together when one of
//! them was answered: the more there is to do, the larger the batches become ("group commit").

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt, join_all};
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};

use crate::path;
use crate::{Error, Kind, MAX_COMMIT_BYTES, MAX_OPS, Node, Op, Session};

/// How many batches of one sort may be under way at the same time.
const UNDER_WAY: usize = 4;

/// The most reads that are sent together: several of the session's own batches.
const MAX_READS: usize = 1000;

/// What was asked for on one connection and is not sent yet.
#[derive(Debug)]
pub(crate) struct Gather {
    session: Arc<dyn Session>,
    /// How many creates were asked for and are not answered.
    creating: AtomicUsize,
    creates: mpsc::UnboundedSender<Create>,
    reads: mpsc::UnboundedSender<Read>,
}

#[derive(Debug)]
struct Create {
    path: String,
    data: Vec<u8>,
    answer: oneshot::Sender<Result<(), Error>>,
}

#[derive(Debug)]
struct Read {
    path: String,
    answer: oneshot::Sender<Result<Option<Node>, Error>>,
}

impl Gather {
    pub(crate) fn start(session: Arc<dyn Session>) -> Self {
        let (creates, to_create) = mpsc::unbounded_channel();
        let (reads, to_read) = mpsc::unbounded_channel();
        tokio::spawn(gather(session.clone(), to_create, MAX_OPS, |session, batch| {
            create(session, batch).boxed()
        }));
        let reading = session.clone();
        tokio::spawn(gather(reading, to_read, MAX_READS, |session, batch| read(session, batch).boxed()));
        Self { session, creating: AtomicUsize::new(0), creates, reads }
    }

    /// Creates an ephemeral node.
    pub(crate) async fn create(&self, path: String, data: Vec<u8>) -> Result<(), Error> {
        let asked = Asked::new(&self.creating);
        if asked.alone {
            // Without another task between the caller and the session, which would have to be woken twice.
            return self.session.create(&path, &data, Kind::Ephemeral).await.map(|_| ());
        }
        let (answer, answered) = oneshot::channel();
        // A failed send drops the sender of the answer, which is the answer.
        let _ = self.creates.send(Create { path, data, answer });
        answered.await.unwrap_or(Err(Error::Interrupted))
    }

    /// Reads a node.
    pub(crate) async fn get(&self, path: String) -> Result<Option<Node>, Error> {
        // One that is unusable would fail all that share the request.
        path::check(&path)?;
        let (answer, answered) = oneshot::channel();
        let _ = self.reads.send(Read { path, answer });
        answered.await.unwrap_or(Err(Error::Interrupted))
    }
}

/// Counts one that was asked for, until it is dropped.
struct Asked<'a> {
    all: &'a AtomicUsize,
    /// Whether there was no other one.
    alone: bool,
}

impl<'a> Asked<'a> {
    fn new(all: &'a AtomicUsize) -> Self {
        Self { all, alone: all.fetch_add(1, Ordering::Relaxed) == 0 }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs until the connection ends or nobody can ask any more.
async fn gather<T>(
    session: Arc<dyn Session>,
    mut asked: mpsc::UnboundedReceiver<T>,
    most: usize,
    act: fn(Arc<dyn Session>, Vec<T>) -> BoxFuture<'static, ()>,
) {
    let mut under_way = FuturesUnordered::new();
    loop {
        let first = tokio::select! {
            biased;
            () = session.ended() => return,
            Some(()) = under_way.next() => continue,
            first = asked.recv(), if under_way.len() < UNDER_WAY => first,
        };
        let Some(first) = first else { break };
        let mut batch = vec![first];
        while batch.len() < most {
            let Ok(next) = asked.try_recv() else { break };
            batch.push(next);
        }
        under_way.push(act(session.clone(), batch));
    }
    while under_way.next().await.is_some() {}
}

/// Commits as many at a time as fit into one request.
async fn create(session: Arc<dyn Session>, batch: Vec<Create>) {
    let mut rest = batch.into_iter().peekable();
    while rest.peek().is_some() {
        let mut bytes = 0;
        let mut fits = |create: &Create| {
            bytes += create.path.len() + create.data.len();
            bytes <= MAX_COMMIT_BYTES
        };
        let (mut ops, mut answers) = (Vec::new(), Vec::new());
        while let Some(create) = rest.next_if(|create| ops.is_empty() | fits(create)) {
            ops.push(Op::Create { path: create.path, data: create.data, kind: Kind::Ephemeral });
            answers.push(create.answer);
        }
        create_together(&*session, ops, answers).await;
    }
}

async fn create_together(
    session: &dyn Session,
    ops: Vec<Op>,
    answers: Vec<oneshot::Sender<Result<(), Error>>>,
) {
    if ops.len() > 1 {
        match session.commit(&ops).await {
            // One of them cannot be made. Each for itself, so that it harms only itself.
            Err(Error::Aborted { .. }) => {}
            outcome => return answers.into_iter().for_each(|to| answer(to, outcome.clone())),
        }
    }
    join_all(ops.iter().zip(answers).map(|(op, to)| async move {
        let Op::Create { path, data, kind } = op else { return };
        let made = session.create(path, data, *kind).await;
        answer(to, made.map(|_| ()));
    }))
    .await;
}

async fn read(session: Arc<dyn Session>, batch: Vec<Read>) {
    if let [_] = batch[..] {
        for read in batch {
            let node = session.get(&read.path).await;
            answer(read.answer, node);
        }
        return;
    }
    let paths: Vec<_> = batch.iter().map(|read| read.path.clone()).collect();
    match session.get_many(&paths).await {
        Ok(nodes) => batch.into_iter().zip(nodes).for_each(|(read, node)| answer(read.answer, node)),
        Err(error) => batch.into_iter().for_each(|read| answer(read.answer, Err(error.clone()))),
    }
}

/// Whoever asked may have gone; then nobody needs the answer.
fn answer<T>(to: oneshot::Sender<T>, answer: T) {
    let _ = to.send(answer);
}
