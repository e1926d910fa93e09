//! The same instance for the same key.

use loadbalance::{Hash, Request};
use pingora_load_balancing::selection;

use crate::Bench;
use crate::cases::{by_size, floor, peer};
use crate::floors::Slots;
use crate::list::{KEYS, List, keys};
use crate::ours::{FIXED, OWNED, Ours, fixed};
use crate::peers::ketama;
use crate::peers::pingora;
use crate::race::{Case, Race};

pub(crate) fn hash(bench: &mut Bench, list: &List, of: Case) {
    let keys = keys(KEYS);
    let request = |turn: usize| Request::keyed(&keys[turn % KEYS]);
    let ours = Ours::new(list, Hash::by_key);
    let floor = Slots::picker(of.many);
    let ring = ketama::ring(list);
    // Its balancer has the same ring, and takes as long to prepare.
    let points: u64 = list.weights().map(u64::from).sum();
    let balancer = (points < 100_000).then(|| pingora::balancer::<selection::Consistent>(list)).flatten();
    bench.each_number_of_threads(of, |of| {
        let mut race = Race::new(of);
        ours.race(&mut race, request);
        race.add(floor::E, fixed(&floor, &list.candidates, request));
        if let Some(ring) = &ring {
            race.add(peer::KETAMA, ketama::ring_lap(ring, &keys));
        }
        if let Some(balancer) = &balancer {
            race.add(peer::BALANCER, pingora::balancer_lap(balancer, &keys));
        }
        race.compare(FIXED, floor::E, by_size(of.many, 2.0, 3.5));
        race.compare(FIXED, peer::KETAMA, (of.many >= 100).then_some(0.4));
        race.compare(OWNED, peer::BALANCER, Some(1.0 / 5.0));
        race
    });
}
