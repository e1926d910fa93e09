//! rand_distr: an alias table with rand's generator of the thread.

use rand::distr::Distribution as _;
use rand_distr::weighted::WeightedAliasIndex;

use crate::list::List;
use crate::measure::{Lap, lap};

pub(crate) fn table(list: &List) -> WeightedAliasIndex<u32> {
    WeightedAliasIndex::new(list.weights().collect()).expect("the weights are above 0")
}

pub(crate) fn table_lap<'a>(table: &'a WeightedAliasIndex<u32>, list: &'a List) -> Lap<'a> {
    lap(rand::rng, move |rng, _| list.candidates.get(table.sample(rng)).map(std::sync::Arc::as_ptr))
}
