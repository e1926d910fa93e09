//! Any bytes as the JSON of node data, of ours and of the old framework, whole and as what follows a field.
#![no_main]

#[path = "../../crates/proto/tests/oracle/mod.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    oracle::json(bytes);
    oracle::master_normal(bytes);
    if let Err(why) = proto::master_normal::instance("normal0000000001", bytes) {
        assert!(why.len() < 500 && !why.contains(char::is_control), "{why}");
    }
    oracle::value(&[br#"{"server_unique_code":"c","#, bytes].concat());
});
