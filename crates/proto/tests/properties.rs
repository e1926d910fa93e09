//! What holds for all names, all node data and all bytes.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::panic::catch_unwind;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proto::envelope::{MAGIC, VERSION};
use proto::path::{candidate_prefix, join, split_candidate};
use proto::{Address, Dir, InstanceId, NodeData, Root, ServiceName, decode, encode, flat};

/// Any character, more often one that is of interest to a path.
fn character() -> impl Strategy<Value = char> {
    let special: Vec<char> =
        "/.-:0\0\u{1f} ~\u{7f}\u{9f}\u{a0}\u{d7ff}\u{e000}\u{f8ff}\u{f900}\u{ffef}\u{fff0}\u{fffe}🦀"
            .chars()
            .collect();
    prop_oneof![3 => select(special), 2 => proptest::char::range('a', 'z'), 1 => any::<char>()]
}

/// Any text, hostile ones among them.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => vec(character(), 0..12).prop_map(String::from_iter),
        1 => vec(character(), 200..300).prop_map(String::from_iter),
        1 => select(vec!["", ".", "..", "zookeeper", "../a", "a/../..", "/", "a/b", "/etc", "\0"]).prop_map(str::to_owned),
    ]
}

fn name() -> impl Strategy<Value = String> {
    text().prop_filter("a name", |text| InstanceId::parse(text).is_ok())
}

fn address() -> impl Strategy<Value = Address> {
    let host = prop_oneof![
        any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|ip| ip.to_string()),
        "[a-zA-Z_][a-z0-9_]{0,60}(\\.[a-z][a-z0-9_]{0,40}){0,3}\\.?",
    ];
    (host, 1u16..).prop_map(|(host, port)| Address::new(&host, port).expect("such hosts are accepted"))
}

fn node_data() -> impl Strategy<Value = NodeData> {
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
            metadata,
            ..identity
        },
    )
}

/// The rules for names, said once more and in another way: as servers check them, by UTF-16 units.
fn servers_accept(name: &str) -> bool {
    let unit_accepted = |unit: u16| {
        unit != 0x2F
            && unit > 0x1F
            && !(0x7F..=0x9F).contains(&unit)
            && !(0xD800..=0xF8FF).contains(&unit)
            && unit < 0xFFF0
    };
    !["", ".", "..", "zookeeper"].contains(&name)
        && name.len() <= 255
        && name.encode_utf16().all(unit_accepted)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_name_is_what_servers_accept_and_reads_as_it_shows(text in text()) {
        prop_assert_eq!(ServiceName::parse(&text).is_ok(), servers_accept(&text));
        match InstanceId::parse(&text) {
            Ok(name) => {
                prop_assert_eq!(name.to_string(), text.as_str());
                prop_assert_eq!(text.parse::<InstanceId>().unwrap(), name);
            }
            Err(error) => prop_assert!(error.to_string().chars().count() < 600, "{}", error),
        }
    }

    /// P26: what got past the check is one segment below the service's own directory, and the check stops the rest.
    #[test]
    fn hostile_names_never_leave_the_directory_of_the_service(service in text(), id in text(), root in text()) {
        let roots = [Root::default(), Root::parse("/").unwrap(), Root::parse(&root).unwrap_or_default()];
        let (Ok(service), Ok(id)) = (ServiceName::parse(&service), InstanceId::parse(&id)) else {
            prop_assert!(!servers_accept(&service) || !servers_accept(&id));
            return Ok(());
        };
        for root in roots {
            let below = if root.as_str() == "/" { String::new() } else { root.to_string() };
            let own = format!("{below}/{service}");
            prop_assert_eq!(root.service_dir(&service), own.as_str());
            for (path, directory) in [
                (root.instance_path(&service, &id), format!("{own}/instances")),
                (root.candidate_path(&service, &id), format!("{own}/election")),
            ] {
                let segment = path.strip_prefix(&format!("{directory}/"));
                prop_assert!(segment.is_some_and(|segment| !segment.is_empty() && !segment.contains('/')), "{}", path);
                prop_assert!(path.split('/').all(|segment| segment != "." && segment != ".."), "{}", path);
            }
        }
        let child = Dir::default().child(&id);
        prop_assert_eq!(child.matches('/').count(), 2);
    }

    #[test]
    fn a_directory_reads_as_it_shows_and_has_only_segments_that_servers_accept(path in text(), absolute in any::<bool>()) {
        let path = if absolute { format!("/{path}") } else { path };
        if let Ok(dir) = Dir::parse(&path) {
            prop_assert_eq!(dir.to_string(), path.as_str());
            prop_assert!(path == "/" || path.split('/').skip(1).all(servers_accept_segment), "{}", path);
        }
    }

    #[test]
    fn a_candidate_is_split_into_what_it_was_made_of(id in name(), sequence in 0..=i32::MAX) {
        let id = InstanceId::parse(&id).unwrap();
        let node = format!("{}{sequence:010}", candidate_prefix(&id));
        prop_assert_eq!(split_candidate(&node), Some((id.as_str(), sequence.unsigned_abs())));
        let election = Root::default().election_dir(&ServiceName::parse("s").unwrap());
        prop_assert_eq!(join(&election, &node), format!("/headkeeper/s/election/{}", node));
    }

    #[test]
    fn an_address_reads_as_it_shows_and_names_a_node(address in address()) {
        let shown = address.to_string();
        prop_assert_eq!(&shown.parse::<Address>().unwrap(), &address);
        prop_assert_eq!(&Address::new(address.host(), address.port()).unwrap(), &address);
        let instance = flat::instance(&shown).unwrap();
        prop_assert_eq!(&instance.id, &flat::name_of(&address));
        prop_assert_eq!(instance.data.default_id().unwrap(), instance.id);
    }

    #[test]
    fn any_text_that_is_an_address_reads_as_it_shows_and_names_a_node(text in text(), port in any::<u16>()) {
        for text in [text.clone(), format!("{text}:{port}"), format!("[{text}]:{port}")] {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string(), text.as_str());
                prop_assert_eq!(flat::name_of(&address).to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_encoded_is_decoded(data in node_data()) {
        let bytes = encode(&data).unwrap();
        prop_assert_eq!(&decode(&bytes).unwrap(), &data);
        let json = data.to_json();
        prop_assert_eq!(&decode(json.as_bytes()).unwrap(), &data);
        prop_assert_eq!(&serde_json::from_str::<NodeData>(&json).unwrap(), &data);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..200), kind in 0..4) {
        let start: &[u8] = match kind {
            0 => b"",
            1 => b"{",
            2 => b"{\"server_port\":",
            _ => &[MAGIC[0], MAGIC[1], VERSION],
        };
        survives(&[start, &bytes].concat())?;
    }

    #[test]
    fn no_damage_to_node_data_makes_the_decoder_panic(
        data in node_data(),
        json in any::<bool>(),
        damage in vec((any::<Index>(), any::<u8>(), 0..3), 1..4),
    ) {
        let mut bytes = if json { data.to_json().into_bytes() } else { encode(&data).unwrap() };
        for (at, byte, how) in damage {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.truncate(at),
                _ => bytes.insert(at, byte),
            }
        }
        survives(&bytes)?;
    }
}

fn servers_accept_segment(segment: &str) -> bool {
    // The limit of a name's length is ours, not the servers'.
    let cut: String = segment.chars().take(60).collect();
    servers_accept(&cut)
}

/// Decodes without a panic; what is accepted is valid and can be stored again, what is not is refused in few words.
fn survives(bytes: &[u8]) -> Result<(), TestCaseError> {
    let decoded = catch_unwind(|| decode(bytes)).map_err(|_| TestCaseError::fail("the decoder panicked"))?;
    match decoded {
        Ok(data) => {
            prop_assert_eq!(data.validate(), Ok(()));
            prop_assert_eq!(decode(&encode(&data).unwrap()).unwrap(), data);
        }
        Err(error) => prop_assert!(error.to_string().chars().count() < 600, "{}", error),
    }
    Ok(())
}
