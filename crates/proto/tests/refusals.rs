//! What is not node data, and what the error says; and how much is forgiven in JSON.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use proto::envelope::MAGIC;
use proto::{Address, DecodeError, EncodeError, InvalidData, MAX_BYTES, NodeData, decode, encode};

fn version_1(payload: &[u8]) -> Vec<u8> {
    [&MAGIC[..], &[1], payload].concat()
}

fn data() -> NodeData {
    NodeData::at(Address::new("h", 1).unwrap())
}

#[test]
fn each_envelope_that_cannot_be_read_says_why() {
    let full = encode(&data()).unwrap();
    for (bytes, message) in [
        (
            vec![],
            "the value is empty; accepted: an envelope, which begins with C1 9D and a version, or JSON, which begins with '{'",
        ),
        (
            b" {}".to_vec(),
            "the value begins with 20 7B 7D; accepted: an envelope, which begins with C1 9D and a version, or JSON, which \
             begins with '{'",
        ),
        (vec![0xFF; 5_000], "the value begins with FF FF FF FF FF FF FF FF; accepted: an envelope"),
        (MAGIC.to_vec(), "the value begins with C1 9D; accepted: an envelope"),
        ([&MAGIC[..], &[0], &full[3..]].concat(), "the value begins with C1 9D 00"),
        (vec![0x9D, 0xC1, 1], "the value begins with 9D C1 01; accepted: an envelope"),
        ([&MAGIC[..], &[2], &full[3..]].concat(), "the value is of version 2; up to version 1 is accepted"),
        ([&MAGIC[..], &[255]].concat(), "the value is of version 255; up to version 1 is accepted"),
        (version_1(&[]), "server_ip: the value ends inside it"),
        (version_1(&[7]), "server_ip: "),
        (version_1(&[1, 1, 0xFF]), "server_ip: it is not UTF-8"),
        // A string of 2^64 - 1 bytes: refused before anything is allocated.
        (
            version_1(&[1, 253, 255, 255, 255, 255, 255, 255, 255, 255]),
            "server_ip: it claims to be longer than a value may be",
        ),
        (version_1(&[1, 1, b'h', 1]), "server_port: the value ends inside it"),
        (version_1(&[1, 1, b'h', 1, 252, 0, 0, 1, 0]), "server_port: "),
        (version_1(&[1, 1, b'h', 1, 1, 1, 3, b'c']), "server_unique_code: the value ends inside it"),
        (version_1(&[1, 1, b'h', 1, 1, 0]), "weight: the value ends inside it"),
        (version_1(&[1, 1, b'h', 1, 1, 0, 1, 253, 0]), "registered_at: the value ends inside it"),
        (version_1(&[1, 1, b'h', 1, 1, 0, 1, 0, 9, 1, b'k']), "metadata: the value ends inside it"),
        (
            version_1(&[1, 1, b'h', 1, 1, 0, 1, 0, 253, 255, 255, 255, 255, 255, 255, 255, 255]),
            "metadata: the value ends inside it",
        ),
        ([&full[..], &[0, 0]].concat(), "2 bytes are left after the last field; none are accepted"),
        (version_1(&[0, 0, 0, 1, 0, 0]), "invalid node data: there is neither an address"),
        (
            version_1(&[1, 1, b'h', 0, 0, 1, 0, 0]),
            "invalid node data: there is a server_ip without a server_port",
        ),
        (version_1(&[0, 1, 1, 0, 1, 0, 0]), "invalid node data: there is a server_port without a server_ip"),
        (
            version_1(&[1, 1, b'h', 1, 0, 0, 1, 0, 0]),
            "invalid node data: server_ip, server_port: \"h\" is not an address",
        ),
        (version_1(&[0, 0, 1, 0, 1, 0, 0]), "invalid node data: server_unique_code has 0 bytes"),
    ] {
        let error = decode(&bytes).unwrap_err().to_string();
        assert!(error.starts_with(message), "{bytes:02X?}: {error}");
        assert!(error.len() < 400, "{error}");
    }
}

#[test]
fn each_field_of_a_truncated_envelope_is_named_and_none_is_made_up() {
    let full = encode(&data().with_code("code").with_weight(300).with_metadata("key", "value")).unwrap();
    for length in 3..full.len() {
        let error = decode(&full[..length]).unwrap_err();
        assert!(matches!(error, DecodeError::Field { .. }), "{length}: {error:?}");
    }
}

#[test]
fn each_json_that_cannot_be_read_says_why() {
    let long = "x".repeat(5_000);
    let deep = format!(r#"{{"weight":{}"#, "[".repeat(60_000));
    for (json, message) in [
        ("{", "JSON: EOF while parsing"),
        (r#"{"server_ip":"h","server_port":1}}"#, "JSON: trailing characters"),
        (
            r#"{"server_ip":"h","server_port":"1"}"#,
            "JSON: server_port: invalid type: string \"1\", expected u16",
        ),
        (
            r#"{"server_ip":"h","server_port":65536}"#,
            "JSON: server_port: invalid value: integer `65536`, expected u16",
        ),
        (
            r#"{"server_ip":1,"server_port":1}"#,
            "JSON: server_ip: invalid type: integer `1`, expected a string",
        ),
        (
            r#"{"server_unique_code":[]}"#,
            "JSON: server_unique_code: invalid type: sequence, expected a string",
        ),
        (
            r#"{"server_unique_code":"c","weight":-1}"#,
            "JSON: weight: invalid value: integer `-1`, expected u32",
        ),
        (
            r#"{"server_unique_code":"c","weight":1.5}"#,
            "JSON: weight: invalid type: floating point `1.5`, expected u32",
        ),
        (
            r#"{"server_unique_code":"c","registered_at":{}}"#,
            "JSON: registered_at: invalid type: map, expected u64",
        ),
        (
            r#"{"server_unique_code":"c","metadata":{"a":1}}"#,
            "JSON: metadata: invalid type: integer `1`, expected a string",
        ),
        (
            r#"{"server_unique_code":"c","metadata":"a"}"#,
            "JSON: metadata: invalid type: string \"a\", expected a map",
        ),
        (r#"{"weight":1,"weight":2}"#, "JSON: duplicate field `weight`"),
        (r#"{"weight":null,"weight":2}"#, "JSON: duplicate field `weight`"),
        (&deep, "JSON: weight: "),
        (&format!(r#"{{"weight":"{long}"}}"#), "JSON: weight: invalid type: string"),
        (
            &format!(r#"{{"server_ip":"{long}","server_port":1}}"#),
            "invalid node data: server_ip, server_port: ",
        ),
        (r#"{"server_port":1}"#, "invalid node data: there is a server_port without a server_ip"),
        (r#"{"server_ip":"h"}"#, "invalid node data: there is a server_ip without a server_port"),
        (
            r#"{"server_ip":"","server_port":1}"#,
            "invalid node data: server_ip, server_port: \"\" is not an address: there is no host",
        ),
        (
            r#"{"server_ip":"h","server_port":0}"#,
            "invalid node data: server_ip, server_port: \"h\" is not an address: the port",
        ),
        ("{}", "invalid node data: there is neither an address"),
    ] {
        let error = decode(json.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(message), "{}: {error}", &json[..json.len().min(80)]);
        assert!(error.len() < 400, "{error}");
        assert_eq!(NodeData::from_json(json).unwrap_err().to_string(), error);
    }
    assert!(decode(b"{\"server_ip\":\"\xFF\",\"server_port\":1}").is_err());
}

#[test]
fn what_another_program_adds_or_leaves_out_in_json_is_forgiven() {
    let nested =
        format!(r#"{{"more":{}{},"server_unique_code":"c"}}"#, "[".repeat(20_000), "]".repeat(20_000));
    let code = NodeData::behind_broker("c");
    for (json, expected) in [
        (r#"{"server_port":1,"server_ip":"h"}"#, data()),
        ("{ \"server_ip\" : \"h\" ,\n\"server_port\" : 1 }\n", data()),
        (
            r#"{"server_ip":"h","server_port":1,"server_unique_code":null,"weight":null,"registered_at":null,"metadata":null}"#,
            data(),
        ),
        (r#"{"server_ip":null,"server_port":null,"server_unique_code":"c"}"#, code.clone()),
        (r#"{"server_unique_code":"c","serverip":"x","Weight":9,"":{"a":[1]}}"#, code.clone()),
        (&nested, code),
        (
            r#"{"server_unique_code":"\u0063","metadata":{"a":"b"},"weight":0}"#,
            NodeData::behind_broker("c").with_metadata("a", "b").with_weight(0),
        ),
    ] {
        assert_eq!(decode(json.as_bytes()).unwrap(), expected, "{}", &json[..json.len().min(80)]);
        assert_eq!(serde_json::from_str::<NodeData>(json).unwrap(), expected);
    }
}

#[test]
fn a_value_of_64_kib_is_accepted_and_one_byte_more_is_refused_both_ways() {
    let sized = |padding| data().with_metadata("k", "x".repeat(padding));
    let room = MAX_BYTES - (encode(&sized(1_000)).unwrap().len() - 1_000);
    let bytes = encode(&sized(room)).unwrap();
    assert_eq!(bytes.len(), MAX_BYTES);
    assert_eq!(decode(&bytes).unwrap(), sized(room));

    let error = encode(&sized(room + 1)).unwrap_err();
    assert_eq!(error, EncodeError::TooLarge { bytes: MAX_BYTES + 1 });
    assert_eq!(error.to_string(), "the node data takes 65537 bytes; at most 65536 are accepted");

    let json = |length: usize| {
        let empty = r#"{"server_ip":"h","server_port":1}"#;
        format!("{empty}{}", " ".repeat(length - empty.len()))
    };
    assert_eq!(decode(json(MAX_BYTES).as_bytes()).unwrap(), data());
    for too_large in [json(MAX_BYTES + 1).into_bytes(), [&bytes[..], &[0]].concat(), vec![0; MAX_BYTES + 1]] {
        let error = decode(&too_large).unwrap_err();
        assert_eq!(error, DecodeError::TooLarge { bytes: MAX_BYTES + 1 });
        assert_eq!(error.to_string(), "the value has 65537 bytes; at most 65536 are accepted");
    }
    assert_eq!(
        NodeData::from_json(json(MAX_BYTES + 1)).unwrap_err(),
        DecodeError::TooLarge { bytes: MAX_BYTES + 1 }
    );
}

#[test]
fn whatever_fits_can_be_read_again_however_small_its_parts() {
    let empty_values = (0..11_500).map(|key| (format!("{key:x}"), String::new())).collect();
    let data = NodeData { metadata: empty_values, ..data() };
    let bytes = encode(&data).unwrap();
    assert!(bytes.len() > MAX_BYTES * 9 / 10 && bytes.len() <= MAX_BYTES, "{}", bytes.len());
    assert_eq!(decode(&bytes).unwrap(), data);
}

#[test]
fn invalid_data_is_not_encoded() {
    let error = encode(&NodeData::behind_broker("")).unwrap_err();
    assert_eq!(error, EncodeError::Invalid(InvalidData::Code { bytes: 0 }));
    assert_eq!(error.to_string(), "invalid node data: server_unique_code has 0 bytes; accepted: 1-255");
    let neither = NodeData { address: None, ..data() };
    assert_eq!(encode(&neither).unwrap_err(), EncodeError::Invalid(InvalidData::Unidentified));
}

#[test]
fn names_are_checked_on_the_way_in_from_json_too() {
    assert_eq!(serde_json::from_str::<proto::InstanceId>("\"a\"").unwrap().as_str(), "a");
    assert_eq!(serde_json::to_string(&proto::ServiceName::parse("a\"b").unwrap()).unwrap(), r#""a\"b""#);
    let error = serde_json::from_str::<proto::ServiceName>("\"a/b\"").unwrap_err().to_string();
    assert!(error.contains("it contains U+002F at byte 1 of 3"), "{error}");
}
