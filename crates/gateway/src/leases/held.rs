//! What is held for a lease: the registration, and how that stands.

use registry::{Registration, Status};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::standing::{Refused, Standing};
use super::table::Lease;

/// What is held for as long as a lease lasts.
pub(super) struct Held {
    pub(super) registration: Registration,
    /// Its weight when it is not drained.
    pub(super) weight: u32,
    pub(super) place: OwnedSemaphorePermit,
}

/// How an instance stands now.
pub(super) fn seen(lease: &Lease<Held>, now: Instant) -> Standing {
    let registration = &lease.held.registration;
    Standing {
        token: lease.token.clone(),
        ttl: lease.ttl,
        ends: lease.ends.unwrap_or(now + lease.ttl),
        data: registration.data(),
        status: registration.status(),
        overwrites: false,
        took_over: false,
    }
}

/// Whether an instance is still its program's.
pub(super) fn judge(lease: &Lease<Held>) -> Result<(), Refused> {
    match *lease.held.registration.status().borrow() {
        Status::Replaced => Err(Refused::Replaced),
        Status::Withdrawn => Err(Refused::Closed),
        Status::Registering { .. } | Status::Registered { .. } => Ok(()),
    }
}
