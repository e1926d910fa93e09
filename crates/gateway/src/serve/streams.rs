//! The streams of a connection of HTTP/2, each of which is answered on its own.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::task_local;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

/// So many bytes at most are given at a time: whoever takes them, however slowly, is one who reads.
pub(super) const PIECE: usize = 64 * 1024;

/// The streams of a connection. A clone has the same ones.
///
/// A client of HTTP/2 says how much it takes of each of them, and while it takes nothing of one, nothing is written for that: the
/// connection itself does not show it. So each is looked after here, and ended when its client takes nothing for too long.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    running: Arc<Mutex<Running>>,
    unread: Duration,
}

#[derive(Debug)]
struct Running {
    count: usize,
    standing: Standing,
}

/// Whether any stream of a connection is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There was none yet: perhaps it is no connection of HTTP/2.
    NoStreams,
    Busy,
    /// None since then.
    Idle(Instant),
}

task_local! {
    /// What was given to the client of the stream that is answered here.
    static GIVEN: Arc<Given>;
}

/// Since when a stream's client has something to take.
#[derive(Debug, Default)]
struct Given(Mutex<Option<Instant>>);

impl Streams {
    pub(super) fn new(unread: Duration) -> Self {
        let running = Running { count: 0, standing: Standing::NoStreams };
        Self { running: Arc::new(Mutex::new(running)), unread }
    }

    pub(super) fn standing(&self) -> Standing {
        self.lock().standing
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, answer: F) {
        let (running, unread) = (Counted::new(self.clone()), self.unread);
        tokio::spawn(async move {
            let _running = running;
            let given = Arc::<Given>::default();
            tokio::select! {
                biased;
                _ = GIVEN.scope(given.clone(), answer) => {}
                () = given.lies(unread) => debug!("a client takes nothing of a stream any more"),
            }
        });
    }
}

/// A stream that is answered.
struct Counted(Streams);

impl Counted {
    fn new(streams: Streams) -> Self {
        let mut running = streams.lock();
        running.count += 1;
        running.standing = Standing::Busy;
        drop(running);
        Self(streams)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut running = self.0.lock();
        running.count -= 1;
        if running.count == 0 {
            running.standing = Standing::Idle(Instant::now());
        }
    }
}

impl Given {
    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Waits until what was given lay there for so long.
    async fn lies(&self, limit: Duration) {
        loop {
            let now = Instant::now();
            let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let until = since.unwrap_or(now) + limit;
            if until <= now {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// A body whose stream knows since when a part of it was not taken. On a connection of HTTP/1.1, a body.
#[derive(Debug)]
pub(super) struct Watched<B> {
    body: B,
    given: Option<Arc<Given>>,
    /// What is there already and is to be given next.
    rest: Bytes,
}

impl<B: Body<Data = Bytes>> Watched<B> {
    /// The body of what is answered here.
    pub(super) fn new(body: B) -> Self {
        let given = GIVEN.try_with(Arc::clone).ok();
        Self { body, given, rest: Bytes::new() }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        let Some(given) = &this.given else { return Pin::new(&mut this.body).poll_frame(cx) };
        // Asked for more: what was given is taken.
        given.set(None);
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => return Poll::Ready(other),
            }
        }
        given.set(Some(Instant::now()));
        let piece = this.rest.split_to(PIECE.min(this.rest.len()));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower().saturating_add(rest));
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}
