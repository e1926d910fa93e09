//! Any text as a name, a directory, an address, and the name of a node that somebody made.
#![no_main]

#[path = "../../crates/proto/tests/oracle/mod.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|text: &str| oracle::text(text));
