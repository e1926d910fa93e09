//! An algorithm of one's own: the heaviest gets everything, the next one what it could not do.
//!
//! `cargo run -p examples --example balance_own_algorithm`

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use loadbalance::{Algorithm, Balancer, Candidates, Picker, Request};
use proto::{Instance, NodeData};

struct Primary;

impl Algorithm for Primary {
    fn name(&self) -> &str {
        "primary"
    }

    // Once for each list: here is the time to think.
    fn picker(&self, candidates: Candidates) -> Arc<dyn Picker> {
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by_key(|index| Reverse(candidates[*index].weight()));
        Arc::new(InOrder(order))
    }
}

/// Places in the list, the heaviest first.
struct InOrder(Vec<usize>);

impl Picker for InOrder {
    // Once for each request, and once more for each one that it names and that was tried. `None` for an empty list.
    fn pick(&self, request: &Request<'_>) -> Option<usize> {
        self.0.iter().cycle().nth(request.attempt() as usize).copied()
    }
}

fn main() -> anyhow::Result<()> {
    let at = |address: &str, weight| -> anyhow::Result<Instance> {
        Ok(Instance::new(NodeData::at(address.parse()?).with_weight(weight))?)
    };
    let servers = [at("10.0.0.1:80", 1)?, at("10.0.0.2:80", 9)?, at("10.0.0.3:80", 3)?];
    let balancer = Balancer::fixed(servers, Primary);

    // Filters, counts of what is in flight, other lists: all of that is the balancer's.
    println!("usually {}", balancer.pick(&Request::default())?.id);
    let mut tried = HashSet::new();
    loop {
        match balancer.pick(&Request::default().tried(&tried)) {
            Ok(picked) => {
                println!("{} does not answer", picked.id);
                tried.insert(picked.id.clone());
                picked.failed();
            }
            Err(why) => break println!("{why}"),
        }
    }
    println!("{}", balancer.explain(&Request::default()));
    Ok(())
}
