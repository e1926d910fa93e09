//! volo's weighted random balancer.

use std::sync::Arc;

use futures::FutureExt as _;
use volo::context::Endpoint;
use volo::discovery::{Instance, StaticDiscover};
use volo::loadbalance::LoadBalance as _;
use volo::loadbalance::random::WeightedRandomBalance;
use volo::net::Address;

use crate::list::List;
use crate::measure::{Lap, lap};

pub(crate) struct Balancer {
    balance: WeightedRandomBalance<()>,
    discover: StaticDiscover,
    endpoint: Endpoint,
}

pub(crate) fn balancer(list: &List) -> Balancer {
    let instance = |(address, weight)| {
        Arc::new(Instance { address: Address::Ip(address), weight, tags: Default::default() })
    };
    Balancer {
        balance: WeightedRandomBalance::new(),
        discover: StaticDiscover::new(list.addresses().map(instance).collect()),
        endpoint: Endpoint::new("bench".into()),
    }
}

pub(crate) fn balancer_lap(balancer: &Balancer) -> Lap<'_> {
    let Balancer { balance, discover, endpoint } = balancer;
    let pick = move |_: &mut (), _| {
        let picker = balance.get_picker(endpoint, discover).now_or_never();
        picker.and_then(Result::ok).and_then(|mut picker| picker.next())
    };
    lap(|| (), pick)
}
