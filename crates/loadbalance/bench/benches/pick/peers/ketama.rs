//! pingora-ketama: the ring of nginx, with 160 points for each unit of weight.

use pingora_ketama::{Bucket, Continuum};

use crate::list::{KEYS, List};
use crate::measure::{Lap, lap};

/// More units of weight take it too long to prepare for.
const MOST: u64 = 1_000_000;

pub(crate) fn ring(list: &List) -> Option<Continuum> {
    (list.weights().map(u64::from).sum::<u64>() <= MOST).then(|| Continuum::new(&buckets(list)))
}

pub(crate) fn buckets(list: &List) -> Vec<Bucket> {
    list.addresses().map(|(address, weight)| Bucket::new(address, weight)).collect()
}

pub(crate) fn ring_lap<'a>(ring: &'a Continuum, keys: &'a [String]) -> Lap<'a> {
    lap(|| (), move |_, turn| ring.node(keys[turn % KEYS].as_bytes()))
}
