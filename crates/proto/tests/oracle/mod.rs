//! What must hold for anything that is read, whoever wrote it. It fails by a panic; the fuzz targets ask the same.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file and each fuzz target uses a part of it")]

use std::fmt::Display;

use proto::master_normal;
use proto::path::split_candidate;
use proto::{
    Address, DecodeError, Dir, EncodeError, InstanceId, MAX_BYTES, NodeData, Root, ServiceName, decode,
    encode, flat,
};

/// The value of a node: it is refused in few words, or is valid and can be stored again in both forms.
pub(crate) fn value(bytes: &[u8]) {
    match decode(bytes) {
        Ok(data) => accepted(bytes, &data),
        Err(error) => refused(&error),
    }
}

/// The same for a text that is to be JSON; whoever reads [`value`]s reads it alike.
pub(crate) fn json(bytes: &[u8]) {
    let read = NodeData::from_json(bytes);
    if bytes.first() == Some(&b'{') {
        assert_eq!(read, decode(bytes));
    }
    match &read {
        Ok(data) => accepted(bytes, data),
        Err(error) => refused(error),
    }
    // Where it is a part of something greater there is no limit of its size, and nothing else is different.
    if bytes.len() <= MAX_BYTES {
        assert_eq!(serde_json::from_slice(bytes).ok(), read.ok());
    }
}

/// The same for the value of a node of the master/normal layout.
pub(crate) fn master_normal(bytes: &[u8]) {
    match master_normal::decode(bytes) {
        Ok((data, credentials)) => match master_normal::encode(&data, &credentials) {
            Ok(again) => assert_eq!(master_normal::decode(&again), Ok((data, credentials))),
            // Its escapes may need more room than it came in.
            Err(error) => assert!(matches!(error, EncodeError::TooLarge { .. }), "{error:?}"),
        },
        Err(error) => refused(&error),
    }
    keeps_passwords(bytes);
}

/// Whatever else is in a value, what is said of it is the same for any password: so it cannot tell which one it is.
fn keeps_passwords(rest: &[u8]) {
    let said = |begin: &str, password: &str, end: &str| {
        let with = |text: &str| text.replace('?', password).into_bytes();
        master_normal::decode(&[&with(begin)[..], rest, &with(end)].concat())
            .map(drop)
            .map_err(|error| format!("{error} {error:?}"))
    };
    for (begin, end) in [
        (r#"{"userpwd":"?","#, ""),
        (r#"{"userpwd":["?"],"#, ""),
        (r#"{"userpwd":?1,"#, ""),
        ("{", r#","userpwd":"?"}"#),
        ("", r#","userpwd":{"?":"?"}}"#),
        (r#"{"userpwd":"?"#, ""),
    ] {
        assert_eq!(said(begin, "5718", end), said(begin, "3962", end), "{begin}…{end}");
    }
}

fn accepted(bytes: &[u8], data: &NodeData) {
    assert!(bytes.len() <= MAX_BYTES);
    assert_eq!(data.validate(), Ok(()));
    assert_eq!(decode(&encode(data).unwrap()).as_ref(), Ok(data));
    let json = data.to_json();
    let again = NodeData::from_json(&json);
    // Its escapes may need more room than it came in.
    let expected = if json.len() > MAX_BYTES {
        Err(DecodeError::TooLarge { bytes: json.len() })
    } else {
        Ok(data.clone())
    };
    assert_eq!(again, expected);
    if let Ok(id) = data.default_id() {
        assert!(servers_accept(id.as_str()));
    }
}

/// A text from anybody that is to become a part of a path, or is the name of a node that somebody made.
pub(crate) fn text(text: &str) {
    match (ServiceName::parse(text), InstanceId::parse(text)) {
        (Ok(service), Ok(id)) => {
            assert!(servers_accept(text));
            assert_eq!((service.as_str(), id.to_string().as_str()), (text, text));
            stays_inside(&service, &id);
        }
        (Err(one), Err(other)) => {
            assert!(!servers_accept(text));
            assert_eq!(one, other);
            says_what_is_accepted(&one);
        }
        other => panic!("{other:?}"),
    }
    match (Root::parse(text), Dir::parse(text)) {
        (Ok(root), Ok(dir)) => {
            assert_eq!((root.as_str(), dir.to_string().as_str()), (text, text));
            assert!(text == "/" || text.strip_prefix('/').unwrap().split('/').all(servers_accept_segment));
        }
        (Err(one), Err(other)) => {
            assert_eq!(one, other);
            says_what_is_accepted(&one);
        }
        other => panic!("{other:?}"),
    }
    match text.parse::<Address>() {
        Ok(address) => {
            assert_eq!(address.to_string(), text);
            assert_eq!(Address::new(address.host(), address.port()), Ok(address.clone()));
            assert_eq!(flat::instance(text).unwrap().id, flat::name_of(&address));
        }
        Err(error) => {
            says_what_is_accepted(&error);
            says_what_is_accepted(&flat::instance(text).unwrap_err());
        }
    }
    match Address::new(text, 80) {
        Ok(address) => assert_eq!(address.to_string().parse(), Ok(address)),
        Err(error) => says_what_is_accepted(&error),
    }
    if let Some((id, sequence)) = split_candidate(text) {
        assert_eq!(format!("{id}-{sequence:010}"), text);
        assert!(sequence <= i32::MAX.unsigned_abs());
    }
}

/// One segment below the directory of the service, and no other.
fn stays_inside(service: &ServiceName, id: &InstanceId) {
    let path = Root::default().instance_path(service, id);
    let segments: Vec<_> = path.split('/').collect();
    assert_eq!(segments, ["", "headkeeper", service.as_str(), "instances", id.as_str()]);
}

/// An error is one line, says something, and repeats no more than a little of what it was given: twice forty characters,
/// of which each may be escaped.
fn refused(error: &impl Display) {
    let said = error.to_string();
    assert!(said.len() > 10 && said.chars().count() < 1_200, "{said}");
    assert!(!said.contains(char::is_control), "{said:?}");
    assert!(!said.trim_end().ends_with(':'), "{said}");
}

fn says_what_is_accepted(error: &impl Display) {
    refused(error);
    let said = error.to_string();
    assert!(said.contains("; accepted: "), "{said}");
}

/// The rules for names, said once more and in another way: as servers check them, by UTF-16 units.
pub(crate) fn servers_accept(name: &str) -> bool {
    name.len() <= 255 && servers_accept_segment(name)
}

/// The same without the limit of the length, which is ours.
pub(crate) fn servers_accept_segment(segment: &str) -> bool {
    let unit_accepted = |unit: u16| {
        unit != 0x2F
            && unit > 0x1F
            && !(0x7F..=0x9F).contains(&unit)
            && !(0xD800..=0xF8FF).contains(&unit)
            && unit < 0xFFF0
    };
    !["", ".", "..", "zookeeper"].contains(&segment) && segment.encode_utf16().all(unit_accepted)
}
