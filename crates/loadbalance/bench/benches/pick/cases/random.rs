//! Anybody.

use loadbalance::Random;
use pingora_load_balancing::selection;

use crate::Bench;
use crate::floors::Draw;
use crate::list::List;
use crate::ours::{FIXED, OWNED, Ours, fixed, plain};
use crate::peers::pingora::{self, BALANCER, SELECTOR};
use crate::race::{Case, Race};

pub(crate) const FLOOR: &str = "floor d";

pub(crate) fn random(bench: &mut Bench, list: &List, of: Case) {
    let ours = Ours::new(list, || Random);
    let floor = Draw::new(of.many);
    let selector = pingora::selector::<selection::Random>(list);
    let balancer = pingora::balancer::<selection::Random>(list);
    bench.each_number_of_threads(of, |of| {
        let mut race = Race::new(of);
        ours.race(&mut race, plain);
        race.add(FLOOR, fixed(&floor, &list.candidates, plain));
        if let (Some(selector), Some(balancer)) = (&selector, &balancer) {
            race.add(SELECTOR, pingora::selector_lap(selector, &[]));
            race.add(BALANCER, pingora::balancer_lap(balancer, &[]));
        }
        race.compare(FIXED, FLOOR, Some(1.4));
        race.compare(FIXED, SELECTOR, Some(1.0 / 5.0));
        race.compare(OWNED, BALANCER, Some(1.0 / 5.0));
        race
    });
}
