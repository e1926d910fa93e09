//! pingora-load-balancing: its selectors alone, which are fixed lists, and its balancer, whose list can be replaced.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::FutureExt as _;
use pingora_load_balancing::discovery::Static;
use pingora_load_balancing::selection::{BackendIter, BackendSelection};
use pingora_load_balancing::{Backend, Backends, LoadBalancer};

use crate::list::{KEYS, List};
use crate::measure::{Lap, lap};

/// Its places are 16 bits wide.
const MOST: usize = 65_000;

/// How many it looks at before it gives up; all are healthy, and it takes the first.
const LOOKS: usize = 256;

pub(crate) fn backends(list: &List) -> BTreeSet<Backend> {
    let backend = |(address, weight): (std::net::SocketAddr, u32)| {
        Backend::new_with_weight(&address.to_string(), weight as usize).expect("it is an address")
    };
    list.addresses().map(backend).collect()
}

pub(crate) fn selector<S: BackendSelection>(list: &List) -> Option<Arc<S>> {
    (list.instances.len() < MOST).then(|| Arc::new(S::build(&backends(list))))
}

pub(crate) fn selector_lap<'a, S>(selector: &'a Arc<S>, keys: &'a [String]) -> Lap<'a>
where
    S: BackendSelection + Send + Sync,
    S::Iter: BackendIter,
{
    lap(|| (), move |_, turn| selector.iter(key(keys, turn)).next().map(std::ptr::from_ref))
}

pub(crate) fn balancer<S>(list: &List) -> Option<LoadBalancer<S>>
where
    S: BackendSelection + 'static,
    S::Iter: BackendIter,
{
    (list.instances.len() < MOST).then(|| {
        let balancer = LoadBalancer::from_backends(Backends::new(Static::new(backends(list))));
        balancer.update().now_or_never().expect("a fixed list is there").expect("and can be built");
        balancer
    })
}

pub(crate) fn balancer_lap<'a, S>(balancer: &'a LoadBalancer<S>, keys: &'a [String]) -> Lap<'a>
where
    S: BackendSelection + Send + Sync + 'static,
    S::Iter: BackendIter,
{
    lap(|| (), move |_, turn| balancer.select(key(keys, turn), LOOKS))
}

fn key(keys: &[String], turn: usize) -> &[u8] {
    keys.get(turn % KEYS).map_or(b"", |key| key.as_bytes())
}
