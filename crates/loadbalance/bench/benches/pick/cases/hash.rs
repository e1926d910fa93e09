//! The same instance for the same key.

use loadbalance::{Hash, Request};
use pingora_load_balancing::selection;

use crate::Bench;
use crate::cases::by_size;
use crate::floors::Slots;
use crate::list::{KEYS, List, keys};
use crate::ours::{FIXED, OWNED, Ours, fixed};
use crate::peers::ketama::{self, KETAMA};
use crate::peers::pingora::{self, BALANCER};
use crate::race::{Case, Race};

pub(crate) const FLOOR: &str = "floor e";

pub(crate) fn hash(bench: &mut Bench, list: &List, of: Case) {
    let keys = keys(KEYS);
    let request = |turn: usize| Request::keyed(&keys[turn % KEYS]);
    let ours = Ours::new(list, Hash::by_key);
    let floor = Slots::new(of.many);
    let ring = ketama::ring(list);
    // Its balancer has the same ring, and takes as long to prepare.
    let points: u64 = list.weights().map(u64::from).sum();
    let balancer = (points < 100_000).then(|| pingora::balancer::<selection::Consistent>(list)).flatten();
    bench.each_number_of_threads(of, |of| {
        let mut race = Race::new(of);
        ours.race(&mut race, request);
        race.add(FLOOR, fixed(&floor, &list.candidates, request));
        if let Some(ring) = &ring {
            race.add(KETAMA, ketama::ring_lap(ring, &keys));
        }
        if let Some(balancer) = &balancer {
            race.add(BALANCER, pingora::balancer_lap(balancer, &keys));
        }
        race.compare(FIXED, FLOOR, by_size(of.many, &[(1000, 2.0), (10_000, 3.5)]));
        race.compare(FIXED, KETAMA, (of.many >= 100).then_some(0.4));
        race.compare(OWNED, BALANCER, Some(1.0 / 5.0));
        race
    });
}
