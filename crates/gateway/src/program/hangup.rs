//! Being asked to read files again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGHUP, which asks to read files again and ends nothing, from the moment that this is made.
#[derive(Debug)]
pub(crate) struct ReadAgain(Signal);

impl ReadAgain {
    pub(crate) fn listen() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Waits until somebody asks. Who asked several times meanwhile asked once.
    ///
    /// # Cancel safety
    ///
    /// No request is lost when this is dropped before it is ready.
    pub(crate) async fn requested(&mut self) {
        if self.0.recv().await.is_none() {
            // No signal will come any more.
            std::future::pending::<()>().await;
        }
    }
}
