//! Instances, lists, requests, and how far chance may go.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::Ipv4Addr;
use std::sync::{Arc, LazyLock};

use loadbalance::{
    Algorithm, Candidate, Candidates, Instance, InstanceId, KeyKind, Name, NodeData, Picker, Request,
};

/// An instance with this id.
pub(crate) fn instance(id: &str, weight: u32) -> Instance {
    Instance { id: id.parse().unwrap(), data: NodeData::behind_broker("code").with_weight(weight) }
}

/// The instance with this number; ids are in the order of numbers.
pub(crate) fn number(number: usize, weight: u32) -> Instance {
    instance(&format!("i{number:06}"), weight)
}

/// Which number an instance has.
pub(crate) fn number_of(id: &InstanceId) -> usize {
    id.as_str()[1..].parse().unwrap()
}

/// Instances with these weights, numbered from 0.
pub(crate) fn listed(weights: &[u32]) -> Vec<Instance> {
    weights.iter().enumerate().map(|(index, weight)| number(index, *weight)).collect()
}

/// The same, as an algorithm gets them.
pub(crate) fn candidates(weights: &[u32]) -> Candidates {
    listed(weights).into_iter().map(|it| Arc::new(Candidate::new(Arc::new(it)))).collect()
}

/// What an algorithm makes of instances with these weights.
pub(crate) fn picker(algorithm: &(impl Algorithm + ?Sized), weights: &[u32]) -> Arc<dyn Picker> {
    algorithm.picker(candidates(weights))
}

/// A request that the algorithm of this name can choose by; others for other numbers.
pub(crate) fn request(name: Name, number: usize) -> Request<'static> {
    static URLS: LazyLock<Vec<String>> =
        LazyLock::new(|| (0..4_096).map(|number| format!("/data/{number}?from=test")).collect());
    match name.key() {
        None => Request::default(),
        Some(KeyKind::Client) => Request::client(Ipv4Addr::from(number as u32)),
        Some(KeyKind::Url) => Request::url(&URLS[number % URLS.len()]),
        Some(KeyKind::Bytes) => unreachable!("no name stands for it"),
    }
}

/// How far the number of hits may be from `draws * chance`, so that of `looks` such numbers not one is further away but once in
/// 10^9 runs.
///
/// Bernstein: a number of hits with variance v is t away with a probability of at most 2 exp(-t^2 / (2 (v + t / 3))). With
/// l = ln(2 * looks * 10^9) that is 1 / (looks * 10^9) where t^2 = 2 l (v + t / 3).
pub(crate) fn furthest(draws: usize, chance: f64, looks: usize) -> f64 {
    let l = (2.0 * looks as f64 * 1e9).ln();
    let variance = draws as f64 * chance * (1.0 - chance);
    l / 3.0 + (l * l / 9.0 + 2.0 * l * variance).sqrt()
}
