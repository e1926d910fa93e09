//! Examples of Headkeeper: run one with `cargo run -p examples --example quickstart`.
