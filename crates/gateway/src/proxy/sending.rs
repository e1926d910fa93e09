//! The body of a request on its way to an instance, which may be sent to another one while it is still held.

use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::body::BoxError;
use super::headers::clean_trailers;

/// How much of a body is held at most, for another try.
pub(super) const MOST_HELD: u64 = 64 * 1024;

/// How long a client's body waits for an instance that was asked whether it wants it. Not all of them know the question.
const EXPECTED_WITHIN: Duration = Duration::from_secs(1);

/// A body as it is sent to one instance.
pub(super) enum Sending {
    Nothing,
    Upload(Upload),
}

/// One try to send a body. An earlier one of the same body ends with an error once there is a later one.
pub(super) struct Upload {
    source: Arc<Mutex<Source>>,
    turn: u32,
    /// How many bytes were given.
    bytes: u64,
}

/// What a client's body may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// How long it may be waited for, all together. Time in which an instance takes nothing of it is not the client's.
    pub(super) waited: Duration,
    /// How many bytes it may have.
    pub(super) most: Option<u64>,
}

/// Why the rest of a client's body will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("the client broke off")]
    Broken,
    #[error("the body has more bytes than it may")]
    Large,
    #[error("the body took more time than it may")]
    Slow,
}

/// A body that comes from a client.
#[derive(Clone, Debug)]
pub(super) struct Received(Arc<Mutex<Source>>);

#[derive(Debug)]
struct Source {
    incoming: Incoming,
    /// What came so far; `None` once that is no longer held.
    held: Option<Held>,
    /// How many bytes came so far.
    bytes: u64,
    size: SizeHint,
    bounds: Bounds,
    /// While the client is waited for.
    waiting: Option<Waiting>,
    /// Which try it is for.
    turn: u32,
    /// How much of what is held this try was given.
    given: Given,
    /// Whether there is an answer, so that there will be no other try.
    is_answered: bool,
    gate: Gate,
    is_touched: bool,
    is_done: bool,
    fault: Option<Fault>,
    last: Instant,
}

/// What came of a body, in one piece: each part by itself would keep the whole buffer that it was read into.
#[derive(Debug, Default)]
struct Held {
    data: Vec<u8>,
    trailers: Option<HeaderMap>,
}

/// How much of what is held somebody has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Given {
    bytes: usize,
    trailers: bool,
}

/// The client is waited for.
#[derive(Debug)]
struct Waiting {
    since: Instant,
    /// Until it was waited for as long as it may be.
    over: Pin<Box<Sleep>>,
}

#[derive(Debug)]
enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// Whether a body may be asked for: asking tells a client that waits to be told.
#[derive(Debug)]
enum Gate {
    Open,
    /// Until the instance says that it wants it, or says nothing for a while.
    Waiting {
        sleep: Pin<Box<Sleep>>,
        waker: Waker,
    },
    /// There is an answer without it.
    Shut,
}

/// How far a body is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// When a part of it came.
    pub(super) last: Instant,
    /// Whether the last try was given all.
    pub(super) is_done: bool,
    /// Whether more was asked for that did not come.
    waits_for_client: bool,
    /// Why no more of it will come.
    pub(super) fault: Option<Fault>,
    /// Whether it can be sent once more.
    pub(super) is_whole: bool,
}

impl Progress {
    /// Whether it is the client who keeps everybody waiting.
    pub(super) fn is_client_late(&self) -> bool {
        self.waits_for_client && !self.is_done
    }
}

impl Received {
    /// A body; held for another try if `holds`. One that its client `expects` to be asked for is not before the instance asks.
    pub(super) fn new(incoming: Incoming, bounds: Bounds, holds: bool, expects: bool) -> Self {
        let size = incoming.size_hint();
        let holds = holds && size.lower() <= MOST_HELD;
        let gate = if expects {
            Gate::Waiting { sleep: Box::pin(sleep(EXPECTED_WITHIN)), waker: Waker::noop().clone() }
        } else {
            Gate::Open
        };
        Self(Arc::new(Mutex::new(Source {
            incoming,
            held: holds.then(Held::default),
            bytes: 0,
            size,
            bounds,
            waiting: None,
            turn: 0,
            given: Given::default(),
            is_answered: false,
            gate,
            is_touched: false,
            is_done: false,
            fault: None,
            last: Instant::now(),
        })))
    }

    /// The body for one more try.
    pub(super) fn send(&self) -> Upload {
        let mut source = self.lock();
        source.turn += 1;
        source.given = Given::default();
        source.waited();
        Upload { source: self.0.clone(), turn: source.turn, bytes: 0 }
    }

    pub(super) fn progress(&self) -> Progress {
        let source = self.lock();
        let Source { last, fault, .. } = *source;
        let waits_for_client = source.waiting.is_some();
        let is_done = source.is_given_whole();
        let is_whole = fault.is_none() && (source.held.is_some() || !source.is_touched);
        Progress { last, is_done, waits_for_client, fault, is_whole }
    }

    /// The instance wants it.
    pub(super) fn is_wanted(&self) {
        let mut source = self.lock();
        if let Gate::Waiting { waker, .. } = mem::replace(&mut source.gate, Gate::Open) {
            drop(source);
            waker.wake();
        }
    }

    /// There is an answer: a body that was never asked for will not be, and there is no other try to hold one for.
    pub(super) fn is_answered(&self) {
        let mut source = self.lock();
        if matches!(source.gate, Gate::Waiting { .. }) {
            source.gate = Gate::Shut;
        }
        source.is_answered = true;
        source.let_go();
    }

    fn lock(&self) -> MutexGuard<'_, Source> {
        lock(&self.0)
    }
}

fn lock(source: &Mutex<Source>) -> MutexGuard<'_, Source> {
    source.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Source {
    /// The next part that was not held yet.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
        match &mut self.gate {
            Gate::Open => {}
            Gate::Shut => return Poll::Pending,
            Gate::Waiting { sleep, waker } => {
                if sleep.as_mut().poll(cx).is_pending() {
                    waker.clone_from(cx.waker());
                    return Poll::Pending;
                }
                self.gate = Gate::Open;
            }
        }
        self.is_touched = true;
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        let Poll::Ready(frame) = polled else {
            ready!(self.poll_waiting(cx));
            return Poll::Ready(Some(Err(self.fails(Fault::Slow).into())));
        };
        self.waited();
        self.last = Instant::now();
        // It may come too late without being asked for just then.
        if self.bounds.waited.is_zero() {
            return Poll::Ready(Some(Err(self.fails(Fault::Slow).into())));
        }
        let part = match frame {
            None => {
                self.is_done = true;
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                self.fails(Fault::Broken);
                return Poll::Ready(Some(Err(error.into())));
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Part::Data(data),
                Err(frame) => Part::Trailers(clean_trailers(frame.into_trailers().unwrap_or_default())),
            },
        };
        self.is_done = self.incoming.is_end_stream();
        if let Part::Data(data) = &part {
            self.bytes += data.len() as u64;
        }
        if self.bounds.most.is_some_and(|most| self.bytes > most) {
            return Poll::Ready(Some(Err(self.fails(Fault::Large).into())));
        }
        self.hold(&part);
        Poll::Ready(Some(Ok(part)))
    }

    fn fails(&mut self, fault: Fault) -> Fault {
        *self.fault.insert(fault)
    }

    /// Until the client was waited for as long as it may be.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let left = self.bounds.waited;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Waiting { since: Instant::now(), over: Box::pin(sleep(left)) });
        waiting.over.as_mut().poll(cx)
    }

    /// It is not waited for any more.
    fn waited(&mut self) {
        if let Some(Waiting { since, .. }) = self.waiting.take() {
            self.bounds.waited = self.bounds.waited.saturating_sub(since.elapsed());
        }
    }

    /// Whether this try was given all that is held.
    fn is_given_held(&self) -> bool {
        self.held.as_ref().is_none_or(|held| held.all() == self.given)
    }

    /// Whether this try was given everything.
    fn is_given_whole(&self) -> bool {
        self.is_done && self.is_given_held()
    }

    /// Holds nothing any more once nobody will ask for it.
    fn let_go(&mut self) {
        if self.is_answered && self.is_given_held() {
            self.held = None;
        }
    }

    fn hold(&mut self, part: &Part) {
        if self.bytes > MOST_HELD {
            self.held = None;
        }
        match (&mut self.held, part) {
            (Some(held), Part::Data(data)) => held.data.extend_from_slice(data),
            (Some(held), Part::Trailers(trailers)) => held.trailers = Some(trailers.clone()),
            (None, _) => {}
        }
    }
}

impl Held {
    /// What comes after this much.
    fn after(&self, given: Given) -> Option<Part> {
        match self.data.get(given.bytes..) {
            Some(data) if !data.is_empty() => Some(Part::Data(Bytes::copy_from_slice(data))),
            _ if given.trailers => None,
            _ => self.trailers.clone().map(Part::Trailers),
        }
    }

    fn all(&self) -> Given {
        Given { bytes: self.data.len(), trailers: self.trailers.is_some() }
    }
}

impl Given {
    fn add(&mut self, part: &Part) {
        match part {
            Part::Data(data) => self.bytes += data.len(),
            Part::Trailers(_) => self.trailers = true,
        }
    }
}

/// A later try took over.
#[derive(Debug, thiserror::Error)]
#[error("the body is sent elsewhere")]
struct Superseded;

impl Body for Sending {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self::Upload(upload) = &mut *self else { return Poll::Ready(None) };
        let mut source = lock(&upload.source);
        if source.turn != upload.turn {
            return Poll::Ready(Some(Err(Superseded.into())));
        }
        let held = source.held.as_ref().and_then(|held| held.after(source.given));
        let part = match held {
            Some(part) => part,
            None if source.is_done => return Poll::Ready(None),
            None => match ready!(source.poll_next(cx)) {
                None => return Poll::Ready(None),
                Some(part) => part?,
            },
        };
        source.given.add(&part);
        source.let_go();
        drop(source);
        Poll::Ready(Some(Ok(match part {
            Part::Data(data) => {
                upload.bytes += data.len() as u64;
                Frame::data(data)
            }
            Part::Trailers(trailers) => Frame::trailers(trailers),
        })))
    }

    fn is_end_stream(&self) -> bool {
        let Self::Upload(upload) = self else { return true };
        let source = lock(&upload.source);
        source.turn == upload.turn && source.is_given_whole()
    }

    fn size_hint(&self) -> SizeHint {
        let Self::Upload(upload) = self else { return SizeHint::with_exact(0) };
        let source = lock(&upload.source);
        match source.size.exact() {
            Some(size) => SizeHint::with_exact(size.saturating_sub(upload.bytes)),
            None => SizeHint::default(),
        }
    }
}
