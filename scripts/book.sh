#!/usr/bin/env bash
# Renders docs/ as a book into target/book, with what its pages link to beside it; where mdBook is not installed, builds it once into
# target/tools.
set -euo pipefail
cd "$(dirname "$0")/.."

build=$PWD/${CARGO_TARGET_DIR:-target}
[[ ${CARGO_TARGET_DIR:-} == /* ]] && build=$CARGO_TARGET_DIR
tools=$build/tools
PATH=$PATH:$tools/bin

if ! command -v mdbook >/dev/null; then
    echo "mdbook is not installed; building it into $tools, which takes some minutes once ..." >&2
    # Without what serves and watches. Not optimised: it is built more often than it would ever win back.
    cargo install --quiet --locked --debug --version '^0.5' --no-default-features --features search \
        --root "$tools" --target-dir "$tools/build" mdbook >&2
    rm -rf "$tools/build"
fi
book=$build/book
rm -rf "$book"
mdbook build --dest-dir "$book/docs" . >&2
# Pages link to programs as they do in a checkout: those lie where the links lead.
cp -r examples "$book/"
echo "$book/docs/index.html"
