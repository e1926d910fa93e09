#!/usr/bin/env bash
# Runs every test that needs no server: unit tests, tests in files and folders not named real_*, and the documentation's examples.
set -euo pipefail
cd "$(dirname "$0")/.."
shopt -s nullglob

tests=()
for file in crates/*/tests/*.rs crates/*/tests/*/main.rs examples/tests/*.rs examples/*/tests/*.rs; do
    name=$(basename "${file%/main.rs}" .rs)
    [[ $name == real_* ]] || tests+=(--test "$name")
done
# One of the tests runs the examples, which are built here as programs.
cargo build --workspace --all-features --examples
cargo test --workspace --all-features --lib --bins "${tests[@]}"
cargo test --workspace --all-features --doc
