//! What a new list costs: the time until an algorithm is prepared for it, and the memory that it then has.

use std::hint::black_box;
use std::time::Duration;

use loadbalance::{
    Algorithm, Candidates, Hash, LeastConnections, Random, RoundRobin, WeightedRandom, WeightedRoundRobin,
};
use pingora_load_balancing::selection::{BackendSelection as _, Consistent};

use crate::clock;
use crate::list::{List, Weights};
use crate::measure::median;
use crate::peers::{name, pingora, rand_distr};

/// One algorithm, prepared for one list, and a peer's beside it.
#[derive(Clone, Debug)]
pub(crate) struct Rebuild {
    pub(crate) family: &'static str,
    pub(crate) many: usize,
    pub(crate) weights: Weights,
    pub(crate) nanos: f64,
    /// What stays allocated, without the list itself.
    pub(crate) bytes: f64,
    pub(crate) beside: Option<Beside>,
}

#[derive(Clone, Debug)]
pub(crate) struct Beside {
    pub(crate) peer: &'static str,
    pub(crate) nanos: f64,
    pub(crate) bytes: f64,
    /// Ours to the peer's, within rounds.
    pub(crate) ratio: f64,
    pub(crate) at_most: Option<f64>,
    pub(crate) memory_at_most: Option<f64>,
}

/// The peer's ring takes it seconds from here on.
const MOST_POINTS: u64 = 600_000;

/// All algorithms, each with one list.
pub(crate) fn rebuilds(list: &List, weights: Weights, quick: bool) -> Vec<Rebuild> {
    let limit = Duration::from_millis(if quick { 100 } else { 400 });
    let algorithms: [(&str, Box<dyn Algorithm>); 7] = [
        ("round-robin", Box::new(RoundRobin::default())),
        ("round-robin per thread", Box::new(RoundRobin::per_thread())),
        ("weight-round-robin", Box::new(WeightedRoundRobin::default())),
        ("random", Box::new(Random)),
        ("weight-random", Box::new(WeightedRandom)),
        ("hash", Box::new(Hash::by_key())),
        ("least-connect", Box::new(LeastConnections)),
    ];
    let one = |(family, algorithm): (_, Box<dyn Algorithm>)| {
        rebuild(family, algorithm.as_ref(), list, weights, limit)
    };
    algorithms.into_iter().map(one).collect()
}

fn rebuild(
    family: &'static str,
    algorithm: &dyn Algorithm,
    list: &List,
    weights: Weights,
    limit: Duration,
) -> Rebuild {
    let many = list.instances.len();
    let ours = || black_box(algorithm.picker(Candidates::clone(&list.candidates)));
    // First: an algorithm may keep what it made of the list before, and give that up for the next.
    let bytes = kept(ours);
    let backends = pingora::backends(list);
    let points: u64 = list.weights().map(u64::from).sum();
    let alias = || drop(black_box(rand_distr::table(list)));
    let ring = || drop(black_box(Consistent::build(&backends)));
    let (nanos, beside) = match family {
        "weight-random" => {
            let (nanos, its, ratio) = turn_about(&|| drop(ours()), &alias, limit);
            let bytes = kept(|| rand_distr::table(list));
            let at_most = Some(1.5);
            let beside =
                Beside { peer: name::ALIAS, nanos: its, bytes, ratio, at_most, memory_at_most: None };
            (nanos, Some(beside))
        }
        "hash" if points <= MOST_POINTS => {
            let (nanos, its, ratio) = turn_about(&|| drop(ours()), &ring, limit);
            let bytes = kept(|| Consistent::build(&backends));
            let mixed = weights == Weights::Mixed;
            let (at_most, memory_at_most) =
                (mixed.then_some(1.0 / 20.0), (mixed && many >= 100).then_some(1.0 / 8.0));
            (nanos, Some(Beside { peer: name::RING, nanos: its, bytes, ratio, at_most, memory_at_most }))
        }
        _ => (turn_about(&|| drop(ours()), &|| (), limit).0, None),
    };
    Rebuild { family, many, weights, nanos, bytes, beside }
}

/// What a sample takes at least: to look at the clock takes half a microsecond.
const SAMPLE: f64 = 20_000.0;

/// The medians of two, and of the ratio of the first to the second within a round.
fn turn_about(one: &dyn Fn(), other: &dyn Fn(), limit: Duration) -> (f64, f64, f64) {
    let timed = |work: &dyn Fn(), times: u32| {
        let begin = clock::processor();
        (0..times).for_each(|_| work());
        (clock::processor() - begin).as_nanos() as f64 / f64::from(times)
    };
    // One before them, which gets the memory from the system.
    let (begin, first) = (clock::wall(), (timed(one, 1), timed(other, 1)));
    let times = |nanos: f64| (SAMPLE / nanos).ceil().clamp(1.0, 1000.0) as u32;
    let round = || (timed(one, times(first.0)), timed(other, times(first.1)));
    let mut rounds = vec![first];
    if begin.elapsed() < limit {
        rounds = (0..3).map(|_| round()).collect();
        while begin.elapsed() < limit && rounds.len() < 1000 {
            rounds.push(round());
        }
    }
    let all = |of: fn(&(f64, f64)) -> f64| median(rounds.iter().map(of));
    (all(|it| it.0), all(|it| it.1), all(|it| it.0 / it.1))
}

/// The bytes that something keeps allocated.
fn kept<T>(make: impl Fn() -> T) -> f64 {
    let mut made = None;
    let allocated = allocation_counter::measure(|| made = Some(make()));
    drop(made);
    allocated.bytes_current as f64
}
