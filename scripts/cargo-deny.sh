#!/usr/bin/env bash
# Runs cargo-deny; where it is not installed, builds it once into target/tools.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$PWD/${CARGO_TARGET_DIR:-target}/tools
[[ ${CARGO_TARGET_DIR:-} == /* ]] && tools=$CARGO_TARGET_DIR/tools
PATH=$PATH:$tools/bin

if ! command -v cargo-deny >/dev/null; then
    echo "cargo-deny is not installed; building it into $tools, which takes some minutes once ..." >&2
    # Not optimised: it is built more often than it would ever win back.
    cargo install --quiet --locked --debug --version '^0.20' --root "$tools" --target-dir "$tools/build" cargo-deny >&2
    rm -rf "$tools/build"
fi
exec cargo-deny "$@"
