//! Any bytes as the JSON of node data, whole and as what follows a field.
#![no_main]

#[path = "../../crates/proto/tests/oracle/mod.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    oracle::json(bytes);
    oracle::value(&[br#"{"server_unique_code":"c","#, bytes].concat());
});
