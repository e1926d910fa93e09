//! Who has the least to do.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use loadbalance::{LeastConnections, Picker};

use crate::Bench;
use crate::cases::{floor, peer};
use crate::floors::{TwoDraws, counted};
use crate::list::{List, Weights};
use crate::measure::lap;
use crate::ours::{COUNTED, GUARD, Ours, plain};
use crate::peers::tower;
use crate::race::{Case, Race};

pub(crate) fn least_connections(bench: &mut Bench, list: &List, of: Case) {
    let ours = Ours::new(list, || LeastConnections);
    let slots = counted(list);
    let floor: Arc<dyn Picker> = Arc::new(TwoDraws { slots: slots.clone() });
    let tower = tower::balancer(list);
    bench.each_number_of_threads(of, |of| {
        let mut race = Race::new(of);
        ours.race(&mut race, plain);
        let pick = |_: &mut (), turn| {
            let slot = slots.get(floor.pick(&plain(turn))?)?;
            slot.in_flight.fetch_add(1, Relaxed);
            black_box(Arc::as_ptr(&slot.candidate));
            slot.in_flight.fetch_sub(1, Relaxed);
            Some(())
        };
        race.add(floor::F, lap(|| (), pick));
        race.add_sleeping(peer::TOWER, tower::balancer_lap(&tower));
        let limit = if of.weights == Weights::Equal { 1.1 } else { 1.3 };
        race.compare(COUNTED, floor::F, Some(limit));
        race.compare(GUARD, peer::TOWER, Some(1.0 / 10.0));
        race
    });
}
