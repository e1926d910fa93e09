//! Weighted round robin, smooth.

use loadbalance::WeightedRoundRobin;
use pingora_load_balancing::selection;

use crate::Bench;
use crate::cases::{by_size, floor, peer};
use crate::floors::Counter;
use crate::list::List;
use crate::ours::{FIXED, OWNED, Ours, fixed, plain};
use crate::peers::pingora;
use crate::peers::weighted_rs;
use crate::race::{Case, Race};

pub(crate) fn weighted_round_robin(bench: &mut Bench, list: &List, of: Case) {
    let ours = Ours::new(list, WeightedRoundRobin::default);
    let floor = Counter::picker(of.many);
    let scan = weighted_rs::scan(list);
    let selector = pingora::selector::<selection::RoundRobin>(list);
    let balancer = pingora::balancer::<selection::RoundRobin>(list);
    bench.each_number_of_threads(of, |of| {
        let mut race = Race::new(of);
        ours.race(&mut race, plain);
        race.add(floor::A, fixed(&floor, &list.candidates, plain));
        if of.threads == 1 {
            race.add(peer::SCAN, weighted_rs::scan_lap(&scan));
        }
        if let (Some(selector), Some(balancer)) = (&selector, &balancer) {
            race.add(peer::SELECTOR, pingora::selector_lap(selector, &[]));
            race.add(peer::BALANCER, pingora::balancer_lap(balancer, &[]));
        }
        race.compare(FIXED, floor::A, by_size(of.many, 1.4, 2.2));
        race.compare(FIXED, peer::SCAN, (of.many >= 1000).then_some(1.0 / 20.0));
        race.compare(FIXED, peer::SELECTOR, None);
        race.compare(OWNED, peer::BALANCER, Some(1.0 / 5.0));
        race
    });
}
