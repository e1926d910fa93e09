//! Anybody, the heavier the likelier.

use loadbalance::WeightedRandom;
use pingora_load_balancing::selection;

use crate::Bench;
use crate::cases::{floor, peer};
use crate::floors::Draw;
use crate::list::List;
use crate::ours::{CHOOSE, FIXED, OWNED, Ours, fixed, plain};
use crate::peers::pingora;
use crate::peers::rand_distr;
use crate::peers::volo;
use crate::race::{Case, Race};

pub(crate) fn weighted_random(bench: &mut Bench, list: &List, of: Case) {
    let ours = Ours::new(list, || WeightedRandom);
    let floor = Draw::picker(of.many);
    let (alias, volo) = (rand_distr::table(list), volo::balancer(list));
    let selector = pingora::selector::<selection::Random>(list);
    let balancer = pingora::balancer::<selection::Random>(list);
    bench.each_number_of_threads(of, |of| {
        let mut race = Race::new(of);
        ours.race(&mut race, plain);
        race.add(floor::D, fixed(&floor, &list.candidates, plain));
        race.add(peer::ALIAS, rand_distr::table_lap(&alias, list));
        race.add(peer::VOLO, volo::balancer_lap(&volo));
        if let (Some(selector), Some(balancer)) = (&selector, &balancer) {
            race.add(peer::SELECTOR, pingora::selector_lap(selector, &[]));
            race.add(peer::BALANCER, pingora::balancer_lap(balancer, &[]));
        }
        race.compare(FIXED, floor::D, Some(1.8));
        race.compare(CHOOSE, floor::D, Some(2.6));
        race.compare(FIXED, peer::SELECTOR, Some(1.0 / 4.0));
        race.compare(FIXED, peer::VOLO, Some(1.0 / 12.0));
        race.compare(FIXED, peer::ALIAS, None);
        race.compare(OWNED, peer::BALANCER, Some(1.0 / 5.0));
        race
    });
}
