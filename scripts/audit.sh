#!/usr/bin/env bash
# Asks the list of known vulnerabilities about our dependencies. Where it cannot be reached, says that nothing was asked.
set -euo pipefail
cd "$(dirname "$0")/.."

list=https://github.com/RustSec/advisory-db
if ! GIT_TERMINAL_PROMPT=0 timeout 30 git ls-remote --quiet "$list" HEAD >/dev/null 2>&1; then
    echo "NOTHING WAS CHECKED: $list cannot be reached from here" >&2
    exit 0
fi
exec scripts/cargo-deny.sh --all-features check advisories
