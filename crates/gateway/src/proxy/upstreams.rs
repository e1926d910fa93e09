//! Where the proxy gets its lists from.

use std::sync::Arc;

use loadbalance::{Instance, Instances};
use proto::ServiceName;
use tokio::sync::watch;

/// Where the proxy gets its lists from.
///
/// Each of both is asked once for a service that a rule names, when the rules are put in place. What is followed is let go when
/// all receivers of its channel are dropped. A channel whose sender is gone keeps its last value, which goes on being used: the
/// proxy routes by the last known list while nobody can bring another one.
pub trait Upstreams: Send + Sync + 'static {
    /// The instances of a service, followed from now on. `None` before the first list.
    fn instances(&self, service: &ServiceName) -> watch::Receiver<Option<Instances>>;

    /// Who is the master of a service, followed from now on: its id, and its address in its data. `None` before that is known,
    /// while nobody is, and while what it says about itself cannot be read.
    fn master(&self, service: &ServiceName) -> watch::Receiver<Option<Arc<Instance>>>;
}
