//! Anybody, the heavier the likelier.

use loadbalance::WeightedRandom;
use pingora_load_balancing::selection;

use crate::Bench;
use crate::cases::random::FLOOR;
use crate::floors::Draw;
use crate::list::List;
use crate::ours::{CHOOSE, FIXED, OWNED, Ours, fixed, plain};
use crate::peers::pingora::{self, BALANCER, SELECTOR};
use crate::peers::rand_distr::{self, ALIAS};
use crate::peers::volo::{self, VOLO};
use crate::race::{Case, Race};

pub(crate) fn weighted_random(bench: &mut Bench, list: &List, of: Case) {
    let ours = Ours::new(list, || WeightedRandom);
    let floor = Draw::new(of.many);
    let (alias, volo) = (rand_distr::table(list), volo::balancer(list));
    let selector = pingora::selector::<selection::Random>(list);
    let balancer = pingora::balancer::<selection::Random>(list);
    bench.each_number_of_threads(of, |of| {
        let mut race = Race::new(of);
        ours.race(&mut race, plain);
        race.add(FLOOR, fixed(&floor, &list.candidates, plain));
        race.add(ALIAS, rand_distr::table_lap(&alias, list));
        race.add(VOLO, volo::balancer_lap(&volo));
        if let (Some(selector), Some(balancer)) = (&selector, &balancer) {
            race.add(SELECTOR, pingora::selector_lap(selector, &[]));
            race.add(BALANCER, pingora::balancer_lap(balancer, &[]));
        }
        race.compare(FIXED, FLOOR, Some(1.8));
        race.compare(CHOOSE, FLOOR, Some(2.6));
        race.compare(FIXED, SELECTOR, Some(1.0 / 4.0));
        race.compare(FIXED, VOLO, Some(1.0 / 12.0));
        race.compare(FIXED, ALIAS, None);
        race.compare(OWNED, BALANCER, Some(1.0 / 5.0));
        race
    });
}
