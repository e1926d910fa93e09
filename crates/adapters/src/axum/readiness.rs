//! Whether requests may come.

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Who says whether this process is ready.
pub(super) enum Readiness {
    /// It is as long as it serves.
    Always,
    /// It is told.
    Told(watch::Receiver<bool>),
    /// It asks, so often.
    Asked(Duration, Probe),
}

pub(super) type Probe = Box<dyn FnMut() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send>;

impl Readiness {
    /// Waits until readiness is another one than `known`. May be dropped at any time.
    pub(super) async fn other_than(&mut self, known: bool) -> bool {
        let other = match self {
            Self::Always if known => std::future::pending().await,
            Self::Always => Ok(true),
            Self::Told(told) => told.wait_for(|now| *now != known).await.map(|now| *now),
            Self::Asked(every, probe) => loop {
                // Who does not answer in time is not ready.
                let now = timeout(*every, probe()).await.unwrap_or(false);
                if now != known {
                    break Ok(now);
                }
                sleep(*every).await;
            },
        };
        match other {
            Ok(other) => other,
            // Whoever told is gone: what was told last stays true.
            Err(_) => std::future::pending().await,
        }
    }
}
