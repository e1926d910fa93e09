//! The ways to pick that the crate has.

use std::hint::black_box;
use std::sync::Arc;

use loadbalance::{Algorithm, Balancer, Candidate, Candidates, Picked, Picker, Request};

use crate::list::List;
use crate::measure::{Lap, lap};
use crate::race::Race;

/// A picker on a fixed list, behind `Arc<dyn Picker>`: what an algorithm costs alone, and what floors are too.
pub(crate) const FIXED: &str = "fixed list";
/// The same, and a guard that counts.
pub(crate) const COUNTED: &str = "fixed list, counted";
pub(crate) const CHOOSE: &str = "Handle::choose";
pub(crate) const GUARD: &str = "Handle::pick";
pub(crate) const OWNED: &str = "Balancer::pick";

/// How much more a handle may cost than a list that cannot change.
pub(crate) const SWAP: f64 = 1.4;

/// One algorithm, ready to pick from a list.
pub(crate) struct Ours {
    picker: Arc<dyn Picker>,
    candidates: Candidates,
    balancer: Balancer,
}

impl Ours {
    pub(crate) fn new<A: Algorithm + 'static>(list: &List, algorithm: impl Fn() -> A) -> Self {
        Self {
            picker: algorithm().picker(list.candidates.clone()),
            candidates: list.candidates.clone(),
            balancer: Balancer::fixed(list.instances.iter().cloned(), algorithm()),
        }
    }

    /// Adds every way to pick, and what the change of lists may cost.
    pub(crate) fn race<'a, 'r: 'a>(
        &'a self,
        race: &mut Race<'a>,
        request: impl Fn(usize) -> Request<'r> + Copy + Sync + 'a,
    ) {
        race.add(FIXED, fixed(&self.picker, &self.candidates, request));
        let counted = move |_: &mut (), turn| {
            let picked = Picked::new(self.candidates.get(self.picker.pick(&request(turn))?)?);
            Some(std::ptr::from_ref(picked.candidate()))
        };
        race.add(COUNTED, lap(|| (), counted));
        let handle = || self.balancer.handle();
        race.add(
            CHOOSE,
            lap(handle, move |handle, turn| handle.choose(&request(turn)).ok().map(Arc::as_ptr)),
        );
        let guard = move |handle: &mut loadbalance::Handle, turn| {
            let picked = handle.pick(&request(turn));
            black_box(picked.as_ref().ok().map(|it| std::ptr::from_ref(it.candidate())));
        };
        race.add(GUARD, lap(handle, guard));
        let owned = move |_: &mut (), turn| {
            let picked = self.balancer.pick(&request(turn));
            black_box(picked.as_ref().ok().map(|it| std::ptr::from_ref(it.candidate())));
        };
        race.add(OWNED, lap(|| (), owned));
        race.compare(CHOOSE, FIXED, Some(SWAP));
        race.compare(GUARD, COUNTED, Some(SWAP));
    }
}

/// Picks by a picker, and looks the place up in the list.
pub(crate) fn fixed<'a, 'r: 'a>(
    picker: &'a Arc<dyn Picker>,
    candidates: &'a Candidates,
    request: impl Fn(usize) -> Request<'r> + Sync + 'a,
) -> Lap<'a> {
    let pick = move |_: &mut (), turn| -> Option<*const Candidate> {
        candidates.get(picker.pick(&request(turn))?).map(Arc::as_ptr)
    };
    lap(|| (), pick)
}

/// A request that carries nothing.
pub(crate) fn plain(_: usize) -> Request<'static> {
    Request::default()
}
