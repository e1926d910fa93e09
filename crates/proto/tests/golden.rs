//! The stored forms of released versions, byte for byte.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use proto::{Address, Instance, InstanceId, NodeData, decode, encode};

fn full() -> NodeData {
    NodeData {
        registered_at: 1_763_640_000_000,
        ..NodeData::at(Address::new("127.0.0.1", 8897).unwrap())
            .with_code("cacd3aa4-0d6f-4f5e-9c57-1f2e3d4c5b6a")
            .with_weight(300)
            .with_metadata("zone", "b")
            .with_metadata("version", "2.1")
            .with_metadata("größe", "")
    }
}

fn address_only() -> NodeData {
    NodeData::at(Address::new("::1", 80).unwrap()).with_weight(0)
}

fn behind_broker() -> NodeData {
    NodeData {
        registered_at: u64::MAX,
        ..NodeData::behind_broker("billing-7").with_weight(u32::MAX).with_metadata("note", "x".repeat(300))
    }
}

#[test]
fn version_1_is_read_and_written_byte_for_byte() {
    for (bytes, data) in [
        (&include_bytes!("golden/v1-full.bin")[..], full()),
        (&include_bytes!("golden/v1-address.bin")[..], address_only()),
        (&include_bytes!("golden/v1-broker.bin")[..], behind_broker()),
    ] {
        assert_eq!(decode(bytes).unwrap(), data);
        assert_eq!(encode(&data).unwrap(), bytes);
    }
}

#[test]
fn the_json_form_is_read_and_written_byte_for_byte() {
    let json = include_str!("golden/full.json");
    assert_eq!(decode(json.as_bytes()).unwrap(), full());
    assert_eq!(full().to_json(), json);
    assert_eq!(
        address_only().to_json(),
        r#"{"server_ip":"::1","server_port":80,"weight":0,"registered_at":0,"metadata":{}}"#
    );
}

#[test]
fn an_instance_is_shown_as_one_flat_object() {
    let instance = Instance { id: InstanceId::parse("a").unwrap(), data: address_only() };
    assert_eq!(
        serde_json::to_string(&instance).unwrap(),
        r#"{"id":"a","server_ip":"::1","server_port":80,"weight":0,"registered_at":0,"metadata":{}}"#
    );
}
