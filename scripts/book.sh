#!/usr/bin/env bash
# Renders docs/ as a book into target/book, with what its pages link to beside it; where mdBook is not installed, builds it once into
# target/tools.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/tool.sh

# Without what serves and watches.
tool mdbook '^0.5' --no-default-features --features search
book=$build/book
rm -rf "$book"
mdbook build --dest-dir "$book/docs" . >&2
# Pages link to programs as they do in a checkout: those lie where the links lead.
cp -r examples "$book/"
echo "$book/docs/index.html"
