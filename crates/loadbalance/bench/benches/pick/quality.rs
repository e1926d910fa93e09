//! What is picked: how evenly, in which order, and what moves.

use std::collections::HashMap;

use loadbalance::{
    Algorithm, Balancer, Candidates, Hash, LeastConnections, Name, Picker, Request, WeightedRoundRobin,
};
use pingora_ketama::Continuum;

use crate::floors::{below, draw};
use crate::list::{List, Weights, instance, keys};
use crate::peers::ketama;

/// One thing that was found out, and what it is to be.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// At most so much.
    pub(crate) at_most: Option<f64>,
}

fn finding(what: impl Into<String>, value: f64, unit: &'static str, at_most: Option<f64>) -> Finding {
    Finding { what: what.into(), value, unit, at_most }
}

pub(crate) fn findings(quick: bool) -> Vec<Finding> {
    let mut findings = hash(quick);
    findings.extend(turns());
    findings.push(least_connections());
    findings.extend(allocations());
    findings
}

/// Who has each key, by the place in the first list.
fn owners(list: &List, keys: &[String]) -> Vec<u32> {
    let picker = Hash::by_key().picker(list.candidates.clone());
    let place: Vec<u32> = list.addresses().map(|(address, _)| place(&address)).collect();
    let owner = |key: &String| place[picker.pick(&Request::keyed(key)).expect("somebody is there")];
    keys.iter().map(owner).collect()
}

/// The same by the peer.
fn its_owners(list: &List, keys: &[String]) -> Vec<u32> {
    let ring = Continuum::new(&ketama::buckets(list));
    keys.iter().map(|key| place(&ring.node(key.as_bytes()).expect("somebody is there"))).collect()
}

fn place(address: &std::net::SocketAddr) -> u32 {
    match address.ip() {
        std::net::IpAddr::V4(address) => u32::from(address) - 0x0a00_0001,
        std::net::IpAddr::V6(_) => u32::MAX,
    }
}

fn hash(quick: bool) -> Vec<Finding> {
    let keys = keys(if quick { 200_000 } else { 1_000_000 });
    let mut findings = Vec::new();
    let whole = List::new(100, Weights::Equal);
    for (who, owners, judged) in
        [("hash", owners as fn(&List, &[String]) -> Vec<u32>, true), ("pingora-ketama", its_owners, false)]
    {
        let limit = |limit: f64| judged.then_some(limit);
        let before = owners(&whole, &keys);
        let (mut moved, mut needless) = (0, 0);
        for gone in [7, 42, 93] {
            let left =
                List::of(whole.instances.iter().filter(|it| it.id != whole.instances[gone].id).cloned());
            for (now, before) in owners(&left, &keys).into_iter().zip(&before) {
                moved += usize::from(now != *before);
                needless += usize::from(now != *before && *before != gone as u32);
            }
        }
        let part = |count: usize| 100.0 * count as f64 / (3 * keys.len()) as f64;
        findings.push(finding(
            format!("{who}: keys that move when one of 100 leaves"),
            part(moved),
            "%",
            None,
        ));
        let what = format!("{who}: of them, keys whose instance stays");
        findings.push(finding(what, part(needless), "%", limit(0.0)));
        let what = format!("{who}: most keys of one of 100 to the mean, equal weights");
        findings.push(finding(what, most_to_share(&before, &whole), "x", limit(1.1)));
        let mixed = List::new(100, Weights::Mixed);
        let what = format!("{who}: most keys of one of 100 to its share, weights 1 to 100");
        findings.push(finding(what, most_to_share(&owners(&mixed, &keys), &mixed), "x", None));
    }
    for many in [1000, 10_000] {
        // By the parts of the circle: as if there were any number of keys.
        let picker = Hash::by_key().picker(List::new(many, Weights::Equal).candidates);
        let shares = picker.shares().unwrap_or_default();
        let most = shares.iter().copied().fold(0.0, f64::max) * many as f64;
        let what = format!("hash: largest share of one of {many} to the mean, equal weights");
        findings.push(finding(what, most, "x", None));
    }
    findings.extend(scale(&keys));
    findings
}

/// The one with the most keys, to what its weight says.
fn most_to_share(owners: &[u32], list: &List) -> f64 {
    let mut counts = HashMap::new();
    owners.iter().for_each(|owner| *counts.entry(*owner).or_insert(0u32) += 1);
    let total: f64 = list.weights().map(f64::from).sum();
    let to_share = |(place, weight): (usize, u32)| {
        let count = counts.get(&(place as u32)).copied().unwrap_or_default();
        f64::from(count) * total / (owners.len() as f64 * f64::from(weight))
    };
    list.weights().enumerate().map(to_share).fold(0.0, f64::max)
}

/// One of 100 gets heavier by one; the others have the weight 64, and then the mean is 65.
fn scale(keys: &[String]) -> Vec<Finding> {
    let with =
        |first: u32| List::of((0..100).map(|place| instance(place, if place == 0 { first } else { 64 })));
    let moved = |from: u32, to: u32| {
        let (before, after) = (owners(&with(from), keys), owners(&with(to), keys));
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        100.0 * moved as f64 / keys.len() as f64
    };
    vec![
        finding(
            "hash: keys that move when one of 100 goes from 64 to 65, others 64",
            moved(64, 65),
            "%",
            None,
        ),
        finding("hash: from 163 to 164, which changes the scale", moved(163, 164), "%", None),
    ]
}

fn turns() -> Vec<Finding> {
    let mut findings = Vec::new();
    for many in [3, 100, 1000, 10_000] {
        let list = List::new(many, Weights::Mixed);
        let picker = WeightedRoundRobin::default().picker(list.candidates.clone());
        let (miscount, lag) = cycle(picker.as_ref(), &list);
        let picks: u64 = list.weights().map(u64::from).sum();
        let limit = if picks <= 1 << 16 { 1.5 } else { 5.0 };
        let what = |what| format!("weight-round-robin: {what}, {many} instances, {picks} picks");
        findings.push(finding(what("picks too many or too few of one in a cycle"), miscount, "", Some(0.0)));
        findings.push(finding(
            what("the furthest behind its share within a cycle"),
            lag,
            "picks",
            Some(limit),
        ));
    }
    let list = List::of([5, 1, 1].into_iter().enumerate().map(|(place, weight)| instance(place, weight)));
    let picker = WeightedRoundRobin::default().picker(list.candidates.clone());
    let picks: Vec<_> = (0..7).filter_map(|_| picker.pick(&Request::default())).collect();
    let run = picks.chunk_by(|one, next| one == next).map(<[usize]>::len).max().unwrap_or_default();
    let what = "weight-round-robin: the same one in a row within a cycle of 5, 1, 1";
    findings.push(finding(what, run as f64, "", Some(2.0)));
    findings
}

/// How wrong the counts of one cycle are, and how far behind somebody was. Behind is furthest right before a pick.
fn cycle(picker: &dyn Picker, list: &List) -> (f64, f64) {
    let weights: Vec<_> = list.weights().collect();
    let total: u64 = weights.iter().copied().map(u64::from).sum();
    let (mut had, mut furthest) = (vec![0u32; weights.len()], 0.0f64);
    let behind = |turn: u64, place: usize, had: u32| {
        turn as f64 * f64::from(weights[place]) / total as f64 - f64::from(had)
    };
    for turn in 0..total {
        let place = picker.pick(&Request::default()).expect("somebody is there");
        furthest = furthest.max(behind(turn, place, had[place]));
        had[place] += 1;
    }
    let miscount = had.iter().zip(&weights).map(|(had, weight)| had.abs_diff(*weight)).max();
    (f64::from(miscount.unwrap_or_default()), furthest)
}

/// How much more than the least one has in flight who is picked, up to 32 instances.
fn least_connections() -> Finding {
    let mut worst = 0;
    for many in [3, 10, 32] {
        let list = List::new(many, Weights::Equal);
        let balancer = Balancer::fixed(list.instances.iter().cloned(), LeastConnections);
        let (candidates, mut held): (Candidates, _) = (balancer.candidates(), Vec::new());
        for _ in 0..20_000 {
            if held.len() > 8 * many {
                drop(held.swap_remove(below(draw(), held.len()).0));
            }
            let least = candidates.iter().map(|it| it.in_flight()).min().unwrap_or_default();
            let picked = balancer.pick(&Request::default()).expect("somebody is there");
            worst = worst.max(picked.candidate().in_flight() - 1 - least);
            held.push(picked);
        }
    }
    let what = "least-connect: how many more than the least the picked one has in flight, up to 32 instances";
    finding(what, f64::from(worst), "", Some(2.0))
}

/// What a pick allocates.
fn allocations() -> Vec<Finding> {
    let list = List::new(1000, Weights::Mixed);
    let each = |name: Name| {
        let balancer = Balancer::fixed(list.instances.iter().cloned(), name.algorithm());
        let mut handle = balancer.handle();
        let request = match name {
            Name::IpHash => Request::client(std::net::Ipv4Addr::new(192, 0, 2, 7)),
            Name::UrlHash => Request::url("/data/video?id=7"),
            _ => Request::default(),
        };
        let allocated = allocation_counter::measure(|| {
            for _ in 0..1000 {
                let _ = handle.choose(&request);
                drop(handle.pick(&request));
                drop(balancer.pick(&request));
            }
        });
        finding(format!("{name}: allocations of 3,000 picks"), allocated.count_total as f64, "", Some(0.0))
    };
    Name::ALL.into_iter().map(each).collect()
}
