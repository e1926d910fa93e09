//! Round robin: one counter for all, and one for each thread.

use loadbalance::RoundRobin;
use pingora_load_balancing::selection;

use crate::Bench;
use crate::cases::{floor, peer};
use crate::floors::Counter;
use crate::list::List;
use crate::ours::{CHOOSE, FIXED, OWNED, Ours, fixed, plain};
use crate::peers::pingora;
use crate::race::{Case, Race};

pub(crate) fn round_robin(bench: &mut Bench, list: &List, of: Case) {
    let ours = Ours::new(list, RoundRobin::default);
    let floor = Counter::picker(of.many);
    let selector = pingora::selector::<selection::RoundRobin>(list);
    let balancer = pingora::balancer::<selection::RoundRobin>(list);
    bench.each_number_of_threads(of, |of| {
        let mut race = Race::new(of);
        ours.race(&mut race, plain);
        race.add(floor::A, fixed(&floor, &list.candidates, plain));
        if let (Some(selector), Some(balancer)) = (&selector, &balancer) {
            race.add(peer::SELECTOR, pingora::selector_lap(selector, &[]));
            race.add(peer::BALANCER, pingora::balancer_lap(balancer, &[]));
        }
        race.compare(FIXED, floor::A, Some(1.1));
        race.compare(FIXED, peer::SELECTOR, Some(0.6));
        race.compare(CHOOSE, peer::BALANCER, Some(1.0 / 12.0));
        race.compare(OWNED, peer::BALANCER, Some(1.0 / 5.0));
        race
    });
}

pub(crate) fn per_thread(bench: &mut Bench, list: &List, of: Case) {
    let ours = Ours::new(list, RoundRobin::per_thread);
    let floor = Counter::picker(of.many);
    bench.each_number_of_threads(of, |of| {
        let mut race = Race::new(of);
        ours.race(&mut race, plain);
        race.add(floor::A, fixed(&floor, &list.candidates, plain));
        race.compare(FIXED, floor::A, (of.threads > 1).then_some(0.1));
        race
    });
}
