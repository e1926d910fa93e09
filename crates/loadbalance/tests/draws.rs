//! Random picks: each its part, within what chance does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use common::{furthest, picker};
use loadbalance::{Algorithm, Random, Request, WeightedRandom};

const DRAWS: usize = 1_000_000;

/// Whether each had its part of many draws.
fn draws_in_proportion(algorithm: &dyn Algorithm, weights: &[u32], parts: &[f64]) {
    let picker = picker(algorithm, weights);
    let mut had = vec![0; weights.len()];
    for _ in 0..DRAWS {
        had[picker.pick(&Request::default()).unwrap()] += 1;
    }
    for (index, (had, part)) in had.iter().zip(parts).enumerate() {
        let (off, furthest) = (f64::from(*had) - DRAWS as f64 * part, furthest(DRAWS, *part, 10_000));
        assert!(
            off.abs() <= furthest,
            "{} of {weights:.60?}: {index} had {had}, which is {off} off, and may be {furthest}",
            algorithm.name()
        );
    }
}

fn parts(weights: &[u32]) -> Vec<f64> {
    let total: f64 = weights.iter().copied().map(f64::from).sum();
    weights.iter().map(|weight| f64::from(*weight) / total).collect()
}

#[test]
fn everybody_is_drawn_equally_often_whatever_the_weights() {
    for weights in [vec![1, 1], vec![1, 1_000, u32::MAX], vec![5; 7], (1..=100).collect(), vec![3; 1_000]] {
        draws_in_proportion(&Random, &weights, &vec![1.0 / weights.len() as f64; weights.len()]);
    }
}

#[test]
fn everybody_is_drawn_in_proportion_to_its_weight() {
    for weights in [
        vec![1, 1],
        vec![5, 1, 1],
        vec![1, 1_000, 10],
        vec![1, u32::MAX],
        vec![u32::MAX, u32::MAX, u32::MAX / 2],
        vec![7; 33],
        (1..=100).collect(),
        (1..=1_000).rev().collect(),
        [1_000_000].into_iter().chain(vec![1_000; 1_000]).collect(),
    ] {
        draws_in_proportion(&WeightedRandom, &weights, &parts(&weights));
    }
}

/// What one pick tells of the next: nothing.
#[test]
fn pairs_of_picks_are_drawn_in_proportion_too() {
    let weights = [1, 2, 3, 4, 5];
    for (algorithm, parts) in [(&Random as &dyn Algorithm, vec![0.2; 5]), (&WeightedRandom, parts(&weights))]
    {
        let picker = picker(algorithm, &weights);
        let next = || picker.pick(&Request::default()).unwrap();
        let mut had = [[0; 5]; 5];
        for _ in 0..DRAWS {
            had[next()][next()] += 1;
        }
        for (one, had) in had.iter().enumerate() {
            for (other, had) in had.iter().enumerate() {
                let part = parts[one] * parts[other];
                let off = f64::from(*had) - DRAWS as f64 * part;
                assert!(off.abs() <= furthest(DRAWS, part, 10_000), "{one} and {other}: {off} off");
            }
        }
    }
}

/// Threads that began with the same number would all pick the same. That 64 numbers below 1,000 are the same by chance is
/// as likely as 10^-192.
#[test]
fn no_two_threads_draw_the_same() {
    let picker = picker(&Random, &[1; 1_000]);
    let draws = |_| {
        let picker = picker.clone();
        std::thread::spawn(move || (0..64).map(|_| picker.pick(&Request::default())).collect::<Vec<_>>())
    };
    let threads: Vec<_> = (0..8).map(draws).collect();
    let mut drawn: Vec<_> = threads.into_iter().map(|it| it.join().unwrap()).collect();
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn.len(), 8);
}
