//! The task that withdraws what is not renewed in time.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::info;

use super::Shared;
use super::held::judge;
use super::table::Key;

/// How many leases are ended at a time: meanwhile nobody else gets at any.
const AT_ONCE: usize = 256;

/// Ends leases at their ends, as long as anybody has them. `changed`: the next end may be another one.
pub(super) async fn end_in_time(shared: Weak<Shared>, changed: Arc<Notify>) {
    loop {
        let next = {
            let Some(shared) = shared.upgrade() else { return };
            let (ended, next) = shared.end_some(Instant::now());
            for ((service, id), ttl) in ended {
                info!(%service, %id, ttl_s = ttl.as_secs(), "not renewed in time: withdrawn");
            }
            next
        };
        match next {
            Some(next) => tokio::select! {
                () = changed.notified() => {}
                () = sleep_until(next) => {}
            },
            None => changed.notified().await,
        }
    }
}

impl Shared {
    /// Ends leases that are over. Gives whose nodes are withdrawn, and when the next one is over, which may have been before.
    fn end_some(&self, now: Instant) -> (Vec<(Key, Duration)>, Option<Instant>) {
        let mut state = self.lock();
        let mut ended = Vec::new();
        for (key, lease) in state.table.expire(now, AT_ONCE) {
            // Whose node is somebody else's has nothing to be taken away.
            if judge(&lease).is_ok() {
                ended.push((key, lease.ttl));
            }
            self.leave(&mut state, lease.held);
        }
        (ended, state.table.next_end())
    }
}
