//! Whatever bytes and texts somebody leaves in ZooKeeper: refused in few words, or read, and never a panic.

mod common;
mod oracle;

use common::{address, node_data, text};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proto::envelope::{MAGIC, VERSION};
use proto::master_normal::{self, Credentials};
use proto::{NodeData, encode};
use serde_json::{Value, json};

/// What happens to bytes on their way, or is done to them on purpose.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Put(Index, Vec<u8>),
    Remove(Index, usize),
    Truncate(Index),
    Repeat(Index, usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    // Lengths as an envelope has them, far above what follows; and what means something in JSON.
    let pieces: Vec<&[u8]> = vec![
        b"\xFB\xFF\xFF",
        b"\xFC\xFF\xFF\xFF\x7F",
        b"\xFD\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
        b"\xFD\0\0\0\0\0\x01\0\0",
        b"\xFE",
        b"\xC1\x9D\x02",
        b"{",
        b"[[[[",
        b"\"",
        b"\\ud800",
        b",\"weight\":1",
        b":null",
        b"1e999",
        b"\xEF\xBB\xBF",
    ];
    let piece = prop_oneof![vec(any::<u8>(), 1..10), select(pieces).prop_map(<[u8]>::to_vec)];
    prop_oneof![
        3 => (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        3 => (any::<Index>(), piece).prop_map(|(at, piece)| Damage::Put(at, piece)),
        1 => (any::<Index>(), 1..20usize).prop_map(|(at, many)| Damage::Remove(at, many)),
        1 => any::<Index>().prop_map(Damage::Truncate),
        1 => (any::<Index>(), 1..20usize, 1..50usize).prop_map(|(at, many, times)| Damage::Repeat(at, many, times)),
    ]
}

impl Damage {
    fn to(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        let place = |at: &Index, most: usize| {
            let at = at.index(length + 1);
            (at, (at + most).min(length))
        };
        match self {
            Self::Flip(at, bit) if length > 0 => bytes[at.index(length)] ^= 1 << bit,
            Self::Flip(..) => {}
            Self::Put(at, piece) => drop(bytes.splice(place(at, 0).0..place(at, 0).0, piece.iter().copied())),
            Self::Remove(at, many) => drop(bytes.drain(place(at, *many).0..place(at, *many).1)),
            Self::Truncate(at) => bytes.truncate(place(at, 0).0),
            Self::Repeat(at, many, times) => {
                let (begin, end) = place(at, *many);
                let again = bytes[begin..end].repeat(*times);
                drop(bytes.splice(end..end, again));
            }
        }
    }
}

/// Any JSON, numbers at the borders among it.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(vec![json!(0), json!(-1), json!(65_535), json!(65_536), json!(u32::MAX), json!(u64::MAX)]),
        text().prop_map(Value::from),
        address().prop_map(|address| Value::from(address.host())),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((text(), inner), 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Of the wrong type it would be repeated by an error, and cut there in the middle of a character.
fn long() -> impl Strategy<Value = Value> {
    vec(select(vec!['a', 'ä', '日', '🦀', '\n']), 100..2_000)
        .prop_map(|text| Value::from(String::from_iter(text)))
}

/// An object with fields of ours and others, of right and wrong types, some of them twice.
fn object() -> impl Strategy<Value = String> {
    let ours = ["server_ip", "server_port", "server_unique_code", "weight", "registered_at", "metadata"];
    let masters = ["serverip", "serverport", "serveruniquecode", "weight", "username", "userpwd"];
    let key = prop_oneof![4 => select(ours.to_vec()).prop_map(str::to_owned), 2 => select(masters.to_vec()).prop_map(str::to_owned), 1 => text()];
    let fields = vec((key, prop_oneof![4 => anything(), 1 => long()]), 0..6);
    fields.prop_map(|fields| {
        let fields = fields.into_iter().map(|(key, value)| format!("{}:{value}", Value::from(key)));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..200), kind in 0..4) {
        let start: &[u8] = match kind {
            0 => b"",
            1 => b"{",
            2 => b"{\"server_port\":",
            _ => &[MAGIC[0], MAGIC[1], VERSION],
        };
        let bytes = [start, &bytes].concat();
        oracle::value(&bytes);
        oracle::json(&bytes);
        oracle::master_normal(&bytes);
    }

    #[test]
    fn no_damage_to_node_data_makes_the_decoder_panic(
        data in node_data(),
        json in any::<bool>(),
        damages in vec(damage(), 1..4),
    ) {
        let mut bytes = if json { data.to_json().into_bytes() } else { encode(&data).unwrap() };
        damages.iter().for_each(|damage| damage.to(&mut bytes));
        oracle::value(&bytes);
        oracle::json(&bytes);
        oracle::master_normal(&bytes);
    }

    #[test]
    fn fields_of_all_types_are_read_or_refused(json in object(), damages in vec(damage(), 0..2)) {
        let mut bytes = json.into_bytes();
        damages.iter().for_each(|damage| damage.to(&mut bytes));
        oracle::value(&bytes);
        oracle::json(&bytes);
        oracle::master_normal(&bytes);
    }

    #[test]
    fn no_damage_to_a_node_of_the_old_framework_makes_its_decoder_panic(
        data in node_data(),
        damages in vec(damage(), 0..4),
        foreign in vec(any::<u8>(), 0..100),
    ) {
        let data = NodeData { metadata: Default::default(), ..data };
        let mut bytes = master_normal::encode(&data, &Credentials::default()).unwrap();
        let (read, _) = master_normal::decode(&bytes).unwrap();
        prop_assert_eq!(read, NodeData { registered_at: 0, ..data });
        damages.iter().for_each(|damage| damage.to(&mut bytes));
        for bytes in [bytes, [b"{".as_slice(), &foreign].concat()] {
            if let Err(why) = master_normal::instance("normal0000000001", &bytes) {
                prop_assert!(why.len() < 500 && !why.contains(char::is_control), "{}", why);
            }
        }
    }

    #[test]
    fn whatever_a_password_is_nothing_of_it_is_told(
        secret in prop_oneof![
            Just(json!("hunter2")),
            anything().prop_map(|other| json!(["hunter2", other])),
            anything().prop_map(|other| json!({ "hunter2": other })),
        ],
        others in vec((select(vec!["serverip", "serverport", "serveruniquecode", "weight", "zone"]), anything()), 0..5),
        damages in vec(select(vec!["", "}", ",", "\"", "\"userpwd\":1"]), 0..2),
    ) {
        let fields: serde_json::Map<_, _> = others.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        for key in ["username", "userpwd"] {
            let mut fields = fields.clone();
            fields.insert(key.to_owned(), secret.clone());
            let value = [Value::Object(fields).to_string(), damages.concat()].concat();
            let told = format!("{:?}", master_normal::instance("master", value.as_bytes()));
            prop_assert!(!told.contains("hunter2"), "{}", told);
        }
    }

    #[test]
    fn any_text_is_a_safe_name_path_or_address_or_none(text in text()) {
        oracle::text(&text);
    }

    #[test]
    fn damaged_addresses_and_paths_are_safe_or_none(
        address in address(),
        kind in 0..4,
        damages in vec(damage(), 0..4),
    ) {
        let mut bytes = match kind {
            0 => address.to_string(),
            1 => format!("/{}/{address}", address.host()),
            2 => format!("{address}-0000000007"),
            _ => address.host().to_owned(),
        }
        .into_bytes();
        damages.iter().for_each(|damage| damage.to(&mut bytes));
        oracle::text(&String::from_utf8_lossy(&bytes));
    }
}
