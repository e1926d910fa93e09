//! Any bytes as what a joiner or a member of a cluster sends, cut anywhere.
#![no_main]

#[path = "../../crates/cluster/tests/oracle/mod.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // The first two bytes say how the rest is cut.
    let Some((sizes, bytes)) = bytes.split_first_chunk::<2>() else { return };
    oracle::stream(bytes, &sizes.map(usize::from));
    oracle::message(bytes);
});
