//! Leaving a gateway that is without ZooKeeper for one that has it.

use hyper::{Method, StatusCode};
use serde::Deserialize;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::super::exchange::Refusal;
use super::super::following::UNKNOWN_SERVICE;
use super::{Keeping, PARTING, Trouble};

/// How a gateway says that there is no such instance. It says so only while it knows.
const UNKNOWN_INSTANCE: &str = "urn:headkeeper:problem:unknown-instance";

/// How a gateway says that it keeps no such instance, and that somebody else has it as far as it knows.
const NOT_OURS: &str = "urn:headkeeper:problem:not-ours";

/// What a gateway tells of an instance.
#[derive(Deserialize)]
struct Told {
    source: Source,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Source {
    Live,
    #[serde(other)]
    Other,
}

impl Keeping<'_> {
    /// Whether its gateway has not registered it for so long that another one is to be asked.
    pub(super) fn waits_too_long(&self) -> bool {
        self.waits_since.is_some_and(|since| since.elapsed() >= self.shared.answer)
    }

    /// Turns to another gateway if that has ZooKeeper, and gives back here what may be done yet. Gives whether it did.
    ///
    /// Where no other one has it this one is kept: the instance may be in ZooKeeper still, and would go and come for nothing.
    pub(super) async fn look_elsewhere(&mut self) -> Result<bool, Trouble> {
        self.waits_since = Some(Instant::now());
        let Some(other) = self.turn.other() else { return Ok(false) };
        // It goes on to be renewed in time.
        let most = PARTING.min(self.shared.ttl / 3);
        if !timeout(most, self.has_zookeeper(other)).await.unwrap_or(false) {
            return Ok(false);
        }
        self.give_back().await?;
        debug!(path = self.path, "leaves a gateway that waits for ZooKeeper");
        self.turn.turn_to(other);
        self.waits_since = None;
        Ok(true)
    }

    /// Whether what a gateway tells of the instance is so now, as ZooKeeper alone lets it know.
    async fn has_zookeeper(&self, which: usize) -> bool {
        let Ok(answer) = self.ask(which, Method::GET, "", None, None).await else { return false };
        if answer.status == StatusCode::NOT_FOUND {
            let kind = answer.refusal().await.kind;
            return matches!(kind.as_deref(), Some(UNKNOWN_SERVICE | UNKNOWN_INSTANCE));
        }
        if !answer.status.is_success() {
            return false;
        }
        let told = answer.bytes().await.ok().and_then(|body| serde_json::from_slice::<Told>(&body).ok());
        told.is_some_and(|told| told.source == Source::Live)
    }

    /// Takes back what our gateway promised, so that it does not come there once it has ZooKeeper again.
    async fn give_back(&mut self) -> Result<(), Trouble> {
        let Some(lease) = &self.lease else { return Ok(()) };
        let most = PARTING.min(self.shared.ttl / 3);
        let asked =
            timeout(most, self.ask(lease.gateway, Method::DELETE, "", Some(&lease.token), None)).await;
        let is_gone = match asked {
            Ok(Ok(answer)) if answer.status == StatusCode::CONFLICT => {
                let Refusal { kind, .. } = answer.refusal().await;
                if kind.as_deref() != Some(NOT_OURS) {
                    return Err(Trouble::Taken);
                }
                true
            }
            Ok(Ok(answer)) => matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_FOUND),
            Ok(Err(_)) | Err(_) => false,
        };
        // Of what was on its way to ZooKeeper already it is not known, nor of a gateway that does not answer.
        if !is_gone {
            self.doubt.raise(lease.gateway, Instant::now());
        }
        Ok(())
    }
}
