//! The fleet, as the proxy gets its lists and masters from it.

use std::sync::Arc;

use loadbalance::{Instance, Instances};
use proto::ServiceName;
use registry::Roles;
use tokio::sync::watch;

use super::Fleet;
use crate::proxy::Upstreams;

/// What rules name is followed whatever else is: whoever writes them says how much that is, and clients who ask for many services are
/// not to keep them from it. It is let go like all others once no rule names it any more and nobody asked for a while.
impl Upstreams for Fleet {
    fn instances(&self, service: &ServiceName) -> watch::Receiver<Option<Instances>> {
        let lists = self.insert(service.clone()).lists();
        match self.shared.options.roles {
            true => Roles::follow_for_requests(lists),
            false => lists,
        }
    }

    fn master(&self, service: &ServiceName) -> watch::Receiver<Option<Arc<Instance>>> {
        self.insert(service.clone()).master()
    }
}
