#!/usr/bin/env bash
# Gives each fuzz target, or those that are named, foreign bytes for so many seconds: fuzz.sh SECONDS [TARGET...].
# What it learns stays in target/fuzz/corpus; an input that breaks something, in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."

limit=$1
shift
[[ $# -gt 0 ]] || set -- envelope json name_path_address connect_string lines join

source scripts/tool.sh

tool cargo-fuzz '^0.13'
# Sanitizers are for nightly compilers, and the stable one has them all the same: no second compiler is needed.
export RUSTC_BOOTSTRAP=1
for target in "$@"; do
    corpus=$build/fuzz/corpus/$target
    mkdir -p "$corpus"
    # Larger than a value may be; no single allocation may be much larger than that.
    cargo fuzz run --fuzz-dir fuzz --target-dir "$build/fuzz" "$target" "$corpus" "fuzz/seeds/$target" -- \
        -max_total_time="$limit" -max_len=70000 -malloc_limit_mb=64 -timeout=10 -dict=fuzz/dictionary -print_final_stats=1
done
