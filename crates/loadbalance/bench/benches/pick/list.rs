//! What is picked from: lists of any length, the same in every run.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use loadbalance::{Candidate, Candidates, Instance, NodeData};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weights {
    Equal,
    /// 1 to 100, in no order.
    Mixed,
}

impl Weights {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Mixed => "mixed",
        }
    }

    pub(crate) fn of(self, place: usize) -> u32 {
        match self {
            Self::Equal => 1,
            Self::Mixed => 1 + (scatter(place as u64 ^ 0x5eed) % 100) as u32,
        }
    }
}

/// A list of instances, for whoever is measured.
#[derive(Clone)]
pub(crate) struct List {
    pub(crate) instances: Vec<Instance>,
    pub(crate) candidates: Candidates,
}

impl List {
    pub(crate) fn new(many: usize, weights: Weights) -> Self {
        Self::of((0..many).map(|place| instance(place, weights.of(place))))
    }

    pub(crate) fn of(instances: impl IntoIterator<Item = Instance>) -> Self {
        let instances: Vec<_> = instances.into_iter().collect();
        let candidate = |instance: &Instance| Arc::new(Candidate::new(Arc::new(instance.clone())));
        let candidates = instances.iter().map(candidate).collect();
        Self { instances, candidates }
    }

    pub(crate) fn weights(&self) -> impl Iterator<Item = u32> + Clone {
        self.instances.iter().map(|it| it.data.weight)
    }

    /// The same list for peers, who name an instance by its address.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (SocketAddr, u32)> {
        let address = |it: &Instance| it.id.as_str().parse().expect("the id is the address");
        self.instances.iter().map(move |it| (address(it), it.data.weight))
    }
}

/// The instance at this place of every list.
pub(crate) fn instance(place: usize, weight: u32) -> Instance {
    let address = SocketAddr::from((Ipv4Addr::from(0x0a00_0001 + place as u32), 8080));
    let address = address.to_string().parse().expect("it was printed as an address");
    Instance::new(NodeData::at(address).with_weight(weight)).expect("the address is its id")
}

/// How many keys take turns while picks are timed: enough that no answer is remembered, few enough to stay near.
pub(crate) const KEYS: usize = 4096;

/// Addresses of clients, as text.
pub(crate) fn keys(many: usize) -> Vec<String> {
    let key = |number: u64| {
        let [a, b, c, d, e, f, ..] = scatter(number ^ 0xc11e_0000_0000).to_le_bytes();
        format!("{a}.{b}.{c}.{d}:{}", u16::from_le_bytes([e, f]))
    };
    (0..many as u64).map(key).collect()
}

/// A number that looks drawn, and is the same every time (the output step of SplitMix64).
pub(crate) fn scatter(number: u64) -> u64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
