#!/usr/bin/env bash
# Runs cargo-deny; where it is not installed, builds it once into target/tools.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tool.sh

tool cargo-deny '^0.20'
exec cargo-deny "$@"
