//! Any bytes as the value of a node, and any payload behind the magic bytes and the version.
#![no_main]

#[path = "../../crates/proto/tests/oracle/mod.rs"]
mod oracle;

use proto::envelope::{MAGIC, VERSION};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    oracle::value(bytes);
    oracle::value(&[&MAGIC[..], &[VERSION], bytes].concat());
});
