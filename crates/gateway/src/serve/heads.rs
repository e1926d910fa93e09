//! Until when the head of the next request may take.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

use crate::deadline::Deadline;

/// What the server takes for a timer, for the heads of the requests of one connection: it makes one for each head and drops it once that is there,
/// so there is one of the runtime's behind all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Heads(Arc<Mutex<Deadline>>);

/// Until when one head may take.
struct Head {
    until: Instant,
    deadline: Arc<Mutex<Deadline>>,
}

impl Timer for Heads {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, until: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Head { until, deadline: self.0.clone() })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

impl Future for Head {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner).poll(self.until.into(), cx)
    }
}

impl Sleep for Head {}
