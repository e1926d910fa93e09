//! Where keys are is written down: it is the same in every process, on every platform and in every later version.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod common;

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use common::instance;
use loadbalance::{Balancer, Hash, Instance, KeyKind, Request};

const GOLDEN: &str = include_str!("golden/hash_placements.txt");

/// The instances of the file, with weights that are equal, different, and far apart.
fn instances() -> Vec<Instance> {
    let weights = [1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 20];
    let names = [
        "10.0.0.1:80",
        "10.0.0.2:80",
        "10.0.0.3:80",
        "10.0.1.1:8080",
        "[2001:db8::1]:443",
        "[2001:db8::2]:443",
        "server-a.example:9000",
        "server-b.example:9000",
        "c",
        "d",
        "größe",
        "0123456789abcdef",
    ];
    names.iter().zip(weights).map(|(name, weight)| instance(name, weight)).collect()
}

/// One key of the file, as it is written there: of what kind, and its text.
type Key = (KeyKind, String);

/// How kinds are written in the file.
const KINDS: [(&str, KeyKind); 3] =
    [("client", KeyKind::Client), ("url", KeyKind::Url), ("bytes", KeyKind::Bytes)];

/// 200 keys, some of each kind.
fn keys() -> Vec<Key> {
    let ipv4 =
        (0..50u32).map(|it| Ipv4Addr::from(0x0a00_0001_u32.wrapping_add(it * 0x0103_0507)).to_string());
    let ipv6 = (0..30u128).map(|it| Ipv6Addr::from((0x2001_0db8 << 96) + it * 0x0001_0000_0003).to_string());
    let mapped = (0..10u32).map(|it| Ipv4Addr::from(0xc000_0201 + it).to_ipv6_mapped().to_string());
    let clients = ipv4.chain(ipv6).chain(mapped).map(|it| (KeyKind::Client, it));
    let special = [
        "/",
        "/a",
        "/a/",
        "/a?",
        "/a?b=1&c=2",
        "/a?c=2&b=1",
        "/ä/ö?ü=ß",
        "/%C3%A4",
        "/数据/视频?id=7",
        "/🦀",
    ];
    let urls = special.map(str::to_owned).into_iter().chain((0..50).map(|it| format!("/data/video?id={it}")));
    let urls = urls.map(|it| (KeyKind::Url, it));
    let bytes = (1..=50).map(|it| (KeyKind::Bytes, "user-".to_owned() + &"ß".repeat(it)));
    clients.chain(urls).chain(bytes).collect()
}

/// Whose a key is, and whose it is when that one was tried.
fn placements(list: Vec<Instance>) -> impl Fn(&Key) -> [String; 2] {
    let balancers: HashMap<_, _> = [Hash::by_client(), Hash::by_url(), Hash::by_key()]
        .into_iter()
        .map(|hash| (loadbalance::Algorithm::key(&hash).unwrap(), Balancer::fixed(list.clone(), hash)))
        .collect();
    move |(kind, text)| {
        let request = Request::with_key(kind.parse(text).unwrap());
        let first = balancers[kind].pick(&request).unwrap().id.clone();
        let tried = [first.clone()].into();
        let second = balancers[kind].pick(&request.tried(&tried)).unwrap().id.clone();
        [first.to_string(), second.to_string()]
    }
}

fn written(place: impl Fn(&Key) -> [String; 2]) -> String {
    let line = |key: &Key| {
        let (kind, _) = KINDS.iter().find(|(_, kind)| *kind == key.0).unwrap();
        let [first, second] = place(key);
        format!("{kind}\t{}\t{first}\t{second}\n", key.1)
    };
    keys().iter().map(line).collect()
}

/// What is compared with is read from the file alone, its keys too.
#[test]
fn every_key_is_where_it_is_written_down_to_be() {
    let place = placements(instances());
    let mut kinds = HashMap::new();
    for line in GOLDEN.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<_> = line.split('\t').collect();
        let [kind, text, first, second] = fields[..] else { panic!("{line:?}") };
        let (_, kind) = KINDS.iter().find(|(name, _)| *name == kind).unwrap();
        *kinds.entry(*kind).or_insert(0) += 1;
        assert_eq!(place(&(*kind, text.to_owned())), [first, second], "{line}");
    }
    assert_eq!(kinds, HashMap::from([(KeyKind::Client, 90), (KeyKind::Url, 60), (KeyKind::Bytes, 50)]));
}

#[test]
fn the_order_of_the_list_does_not_move_what_is_written_down() {
    let mut list = instances();
    list.reverse();
    list.swap(0, 5);
    assert_eq!(written(placements(list)), written(placements(instances())));
}

/// Only where nobody can rely on places yet, and with a word in the changelog: processes of two versions would send the same key to
/// two instances.
#[test]
#[ignore = "prints the file anew: cargo test -p loadbalance --test golden -- --ignored --nocapture"]
fn the_file_is_printed_anew() {
    println!("{}", written(placements(instances())));
}
