//! Names, addresses and node data of all kinds.

#![allow(dead_code, reason = "each test file uses a part of it")]

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use proto::{Address, InstanceId, NodeData};

/// Any character, more often one that is of interest to a path.
fn character() -> impl Strategy<Value = char> {
    let special: Vec<char> =
        "/.-:0\0\u{1f} ~\u{7f}\u{9f}\u{a0}\u{d7ff}\u{e000}\u{f8ff}\u{f900}\u{ffef}\u{fff0}\u{fffe}🦀"
            .chars()
            .collect();
    prop_oneof![3 => select(special), 2 => proptest::char::range('a', 'z'), 1 => any::<char>()]
}

/// Any text, hostile ones among them.
pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => vec(character(), 0..12).prop_map(String::from_iter),
        1 => vec(character(), 200..300).prop_map(String::from_iter),
        1 => select(vec!["", ".", "..", "zookeeper", "../a", "a/../..", "/", "a/b", "/etc", "\0"]).prop_map(str::to_owned),
    ]
}

pub(crate) fn name() -> impl Strategy<Value = String> {
    text().prop_filter("a name", |text| InstanceId::parse(text).is_ok())
}

pub(crate) fn address() -> impl Strategy<Value = Address> {
    let host = prop_oneof![
        any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|ip| ip.to_string()),
        "[a-zA-Z_][a-z0-9_]{0,60}(\\.[a-z][a-z0-9_]{0,40}){0,3}\\.?",
    ];
    (host, 1u16..).prop_map(|(host, port)| Address::new(&host, port).expect("such hosts are accepted"))
}

pub(crate) fn node_data() -> impl Strategy<Value = NodeData> {
    let code = "[^\\x00]{1,60}".prop_filter("not too long", |code: &String| code.len() <= 255);
    let identity = prop_oneof![
        address().prop_map(NodeData::at),
        code.clone().prop_map(NodeData::behind_broker),
        (address(), code).prop_map(|(address, code)| NodeData::at(address).with_code(code)),
    ];
    let metadata = btree_map(any::<String>(), any::<String>(), 0..4);
    (identity, any::<u32>(), any::<u64>(), metadata).prop_map(
        |(identity, weight, registered_at, metadata)| NodeData {
            weight,
            registered_at,
            metadata: metadata.into(),
            ..identity
        },
    )
}
