//! Anybody.

use loadbalance::Random;
use pingora_load_balancing::selection;

use crate::Bench;
use crate::cases::{floor, peer};
use crate::floors::Draw;
use crate::list::List;
use crate::ours::{FIXED, OWNED, Ours, fixed, plain};
use crate::peers::pingora;
use crate::race::{Case, Race};

pub(crate) fn random(bench: &mut Bench, list: &List, of: Case) {
    let ours = Ours::new(list, || Random);
    let floor = Draw::picker(of.many);
    let selector = pingora::selector::<selection::Random>(list);
    let balancer = pingora::balancer::<selection::Random>(list);
    bench.each_number_of_threads(of, |of| {
        let mut race = Race::new(of);
        ours.race(&mut race, plain);
        race.add(floor::D, fixed(&floor, &list.candidates, plain));
        if let (Some(selector), Some(balancer)) = (&selector, &balancer) {
            race.add(peer::SELECTOR, pingora::selector_lap(selector, &[]));
            race.add(peer::BALANCER, pingora::balancer_lap(balancer, &[]));
        }
        race.compare(FIXED, floor::D, Some(1.4));
        race.compare(FIXED, peer::SELECTOR, Some(1.0 / 5.0));
        race.compare(OWNED, peer::BALANCER, Some(1.0 / 5.0));
        race
    });
}
