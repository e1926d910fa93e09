//! The body of an answer on its way to the client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::connections::Connection;
use super::figures::{Counting, Outcome};
use super::headers::clean_trailers;
use super::sending::Received;
use super::service::{Chosen, Service};

/// How long a client may let an instance wait before an answer that breaks off is no failure of the instance any more.
const HELD_BACK: Duration = Duration::from_secs(1);

/// Why a body breaks off.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer: made here, or coming from an instance.
///
/// What it is made of is passed on when it is asked for and not before, so a slow client holds its instance back.
#[derive(Debug)]
pub struct Body(Kind);

#[derive(Debug)]
enum Kind {
    Whole(Option<Bytes>),
    Passing(Box<Passing>),
}

/// The body of an instance's answer, with what came of it together with the head.
#[derive(Debug)]
pub(super) struct Arriving {
    incoming: Incoming,
    first: Option<Frame<Bytes>>,
}

/// What comes from an instance.
#[derive(Debug)]
struct Passing {
    arriving: Arriving,
    /// How long the instance may say nothing, and take nothing of the request.
    idle: Duration,
    /// Until when, while it says nothing.
    patience: Option<Pin<Box<Sleep>>>,
    /// When the client was given something, and did not come for more yet.
    given: Option<Instant>,
    /// Whether the client let the instance wait.
    held_back: bool,
    /// Why it breaks off, which the client learns when what it was given is on its way.
    fault: Option<hyper::Error>,
    ending: Option<Ending>,
    /// Counts by how the answer ends; the outcome is that of a whole one.
    counting: Option<(Counting, Outcome)>,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    /// The connection broke off.
    Broken,
    /// Nothing came for too long.
    Stalled,
}

/// What there is to do once an answer is whole, or broke off.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) service: Arc<Service>,
    pub(super) connection: Connection,
    pub(super) upload: Option<Received>,
    /// What is still to be told of the instance. Nothing, when the head of the answer told all.
    pub(super) chosen: Option<Chosen>,
}

/// The instance said nothing for too long.
#[derive(Debug, thiserror::Error)]
#[error("the instance stopped in the middle of its answer")]
struct Stalled;

impl Body {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self(Kind::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }

    pub(super) fn passing(arriving: Arriving, idle: Duration, ending: Ending) -> Self {
        if arriving.is_end_stream() {
            ending.whole();
            return Self(Kind::Whole(None));
        }
        Self(Kind::Passing(Box::new(Passing {
            arriving,
            idle,
            patience: None,
            given: None,
            held_back: false,
            fault: None,
            ending: Some(ending),
            counting: None,
        })))
    }

    /// The same, counted once it ends: with this outcome when it is whole.
    pub(super) fn counted(mut self, mut counting: Counting, outcome: Outcome) -> Self {
        match &mut self.0 {
            Kind::Whole(_) => counting.end(outcome),
            Kind::Passing(passing) => {
                counting.answered();
                passing.counting = Some((counting, outcome));
            }
        }
        self
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Passing(passing) => passing.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::Passing(passing) => passing.arriving.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Passing(passing) => passing.arriving.size_hint(),
        }
    }
}

impl Arriving {
    /// Takes what is there already.
    ///
    /// # Errors
    ///
    /// When that is the end of the connection, and not of the body. Once a client has the head of an answer, it cannot be told otherwise
    /// any more than by the end of its own connection.
    pub(super) fn look(mut incoming: Incoming, connection: &mut Connection) -> Result<Self, hyper::Error> {
        if incoming.is_end_stream() {
            return Ok(Self { incoming, first: None });
        }
        // Whoever passes it on asks once more, and is woken.
        let mut cx = Context::from_waker(Waker::noop());
        match poll_moving(&mut incoming, connection, &mut cx) {
            Poll::Ready(Some(Err(error))) => Err(error),
            Poll::Ready(Some(Ok(first))) => Ok(Self { incoming, first: Some(first) }),
            Poll::Ready(None) | Poll::Pending => Ok(Self { incoming, first: None }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(Frame::data_ref).map_or(0, |data| data.len() as u64);
        let rest = self.incoming.size_hint();
        let mut all = SizeHint::new();
        all.set_lower(rest.lower() + first);
        if let Some(upper) = rest.upper() {
            all.set_upper(upper.saturating_add(first));
        }
        all
    }
}

/// Asks for the next part; when it is not there, moves the connection on and asks once more.
fn poll_moving(
    incoming: &mut Incoming,
    connection: &mut Connection,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
    let mut incoming = Pin::new(incoming);
    // Also says to the connection that more is wanted.
    let asked = incoming.as_mut().poll_frame(&mut Context::from_waker(Waker::noop()));
    if asked.is_ready() {
        return asked;
    }
    let mut cx = connection.poll(cx);
    incoming.poll_frame(&mut cx)
}

impl Passing {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(fault) = self.fault.take() {
            return Poll::Ready(Some(Err(fault.into())));
        }
        self.held_back |= self.given.take().is_some_and(|given| given.elapsed() > HELD_BACK);
        let Poll::Ready(frame) = self.poll_incoming(cx) else {
            ready!(self.poll_patience(cx));
            self.end(End::Stalled);
            return Poll::Ready(Some(Err(Stalled.into())));
        };
        self.patience = None;
        match frame {
            Some(Ok(frame)) => {
                // Whoever knows the length does not ask for the end.
                if self.arriving.is_end_stream() {
                    self.end(End::Whole);
                }
                self.given = self.ending.is_some().then(Instant::now);
                Poll::Ready(Some(Ok(clean(frame))))
            }
            Some(Err(error)) => {
                self.end(End::Broken);
                // A server that is told at once forgets what it has not sent yet.
                self.fault = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => {
                self.end(End::Whole);
                Poll::Ready(None)
            }
        }
    }

    /// Tells those who want to know, once.
    fn end(&mut self, end: End) {
        let Some(ending) = self.ending.take() else { return };
        let upload = ending.upload.as_ref().map(Received::progress);
        let client_broke = upload.is_some_and(|upload| upload.fault.is_some());
        let client_is_late = upload.is_some_and(|upload| upload.is_client_late());
        if let Some((counting, outcome)) = self.counting.take() {
            counting.end(match end {
                End::Whole => outcome,
                _ if client_broke => Outcome::Left,
                End::Stalled if client_is_late => Outcome::Left,
                End::Broken => Outcome::Broken,
                End::Stalled => Outcome::Late,
            });
        }
        match end {
            End::Whole => ending.whole(),
            // One that was held back, or waits for the rest of the request, may have had enough of that.
            End::Broken if !client_broke && !client_is_late && !self.held_back => ending.broken(),
            // It answered well, and many answers have nothing to say for a long time.
            End::Broken | End::Stalled => {}
        }
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Arriving { incoming, first } = &mut self.arriving;
        match &mut self.ending {
            _ if first.is_some() => Poll::Ready(first.take().map(Ok)),
            Some(ending) => poll_moving(incoming, &mut ending.connection, cx),
            None => Pin::new(incoming).poll_frame(cx),
        }
    }

    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + self.idle)));
        loop {
            ready!(patience.as_mut().poll(cx));
            // While it takes the request it may well be silent.
            let upload = self.ending.as_ref().and_then(|ending| ending.upload.as_ref());
            let until = upload.map(|upload| upload.progress().last + self.idle);
            let Some(until) = until.filter(|until| *until > Instant::now()) else { return Poll::Ready(()) };
            patience.as_mut().reset(until);
        }
    }
}

/// Trailers go on without what they may not have.
fn clean(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_data() {
        Ok(data) => Frame::data(data),
        Err(frame) => Frame::trailers(clean_trailers(frame.into_trailers().unwrap_or_default())),
    }
}

impl Ending {
    /// The answer is whole.
    pub(super) fn whole(self) {
        let Self { service, connection, upload, chosen } = self;
        // One that still takes a request's body cannot carry another request.
        if upload.is_none_or(|upload| upload.progress().is_done) {
            service.connections.keep(connection);
        }
        if let Some(chosen) = chosen {
            chosen.succeeded();
        }
    }

    /// The answer broke off.
    pub(super) fn broken(self) {
        if let Some(chosen) = self.chosen {
            chosen.failed();
        }
    }
}
