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
pub(super) enum Source {
    Live,
    #[serde(other)]
    Other,
}

impl Keeping<'_> {
    /// Whether its gateway has not registered it for so long that another one is to be asked.
    pub(super) fn waits_too_long(&self) -> bool {
        self.waits_since.is_some_and(|since| since.elapsed() >= self.shared.answer)
    }

    /// Turns to another gateway if that has ZooKeeper, ours has not, and nobody has the instance; gives back here what may be done yet. Gives
    /// whether it did.
    ///
    /// Whoever is listed under this id is left alone. It is ourselves, so the instance would go and come for nothing; or a newer process,
    /// from which a registering elsewhere would take it.
    pub(super) async fn look_elsewhere(&mut self) -> Result<bool, Trouble> {
        self.waits_since = Some(Instant::now());
        let (Some(other), Some(lease)) = (self.turn.other(), &self.lease) else { return Ok(false) };
        // It goes on to be renewed in time, whatever is answered to both.
        let most = PARTING.min(self.shared.ttl / 4);
        if !timeout(most, self.has_nobody(other)).await.unwrap_or(false) {
            return Ok(false);
        }
        // One that waits for ZooKeeper may take its time to say so.
        if timeout(most, self.has_zookeeper(lease.gateway)).await.unwrap_or(false) {
            return Ok(false);
        }
        self.give_back().await?;
        debug!(path = self.path, "leaves a gateway that waits for ZooKeeper");
        self.turn.turn_to(other);
        self.waits_since = None;
        Ok(true)
    }

    /// Whether a gateway knows of ZooKeeper as it is now that there is no such instance.
    async fn has_nobody(&self, which: usize) -> bool {
        let Ok(answer) = self.ask(which, Method::GET, "", None, None).await else { return false };
        answer.status == StatusCode::NOT_FOUND
            && matches!(answer.refusal().await.kind.as_deref(), Some(UNKNOWN_SERVICE | UNKNOWN_INSTANCE))
    }

    /// Whether what a gateway tells of the instance is so now. One that has ZooKeeper and does not register it has another reason, which others
    /// have, too.
    async fn has_zookeeper(&self, which: usize) -> bool {
        let Ok(answer) = self.ask(which, Method::GET, "", None, None).await else { return false };
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
