//! The task that withdraws what is not renewed in time.

use std::sync::{Arc, Weak};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::info;

use super::Shared;
use super::held::judge;

/// Ends leases at their ends, as long as anybody has them. `changed`: the next end may be another one.
pub(super) async fn end_in_time(shared: Weak<Shared>, changed: Arc<Notify>) {
    loop {
        let next = {
            let Some(shared) = shared.upgrade() else { return };
            let (over, next) = {
                let mut state = shared.lock();
                (state.table.expire(Instant::now()), state.table.next_end())
            };
            for ((service, id), lease) in over {
                // Whose node is somebody else's has nothing to be taken away.
                if judge(&lease).is_ok() {
                    info!(%service, %id, ttl_s = lease.ttl.as_secs(), "not renewed in time: withdrawn");
                }
                shared.leave(lease.held);
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
