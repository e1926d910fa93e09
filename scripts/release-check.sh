#!/usr/bin/env bash
# What a release has to be, besides `make check test`: see docs/releasing.md. All of it, or the steps that are named. Builds the tools that
# are missing, once. Goes on after a step that failed, and says at the end which ones did.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
source scripts/tool.sh

msrv=$(sed --quiet 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
libraries=$(printf '%s\n' crates/*/src/lib.rs | cut -d / -f 2)
# What is compiled here is compiled with other features than elsewhere, and is not to push that out.
export CARGO_TARGET_DIR=$build/release-check
# The tools stay where they are for all.
work=$(mktemp --directory /tmp/headkeeper-release.XXXXXX)
trap 'rm -rf "$work"' EXIT

failed=() unchecked=()
step() {
    local name=$1 begin=$SECONDS code=0
    echo "== $name" >&2
    "$name" || code=$?
    case $code in
        0) echo "   $name: well, after $((SECONDS - begin)) s" >&2 ;;
        3)
            unchecked+=("$name")
            echo "   $name: NOT CHECKED" >&2
            ;;
        *)
            failed+=("$name")
            echo "   $name: FAILED" >&2
            ;;
    esac
}

# Versions, changelog, licences: what files tell.
manifests() { cargo run --quiet --locked -p release; }

# What each workspace has written down of versions goes with the manifests; nobody compiles the smaller ones for each change.
locks() {
    local code=0 workspace
    for workspace in . fuzz crates/loadbalance/bench; do
        if ! cargo update --quiet --workspace --locked --manifest-path "$workspace/Cargo.toml"; then
            echo "mended by: cargo update --workspace --manifest-path $workspace/Cargo.toml" >&2
            code=1
        fi
    done
    return "$code"
}

# Licences of dependencies, where they come from, and whether they are wanted. Who brought one is told by `cargo tree --invert`: for each
# duplicate that would be a page.
dependencies() {
    CARGO_TARGET_DIR=$build scripts/cargo-deny.sh --all-features check --hide-inclusion-graph bans licenses sources
}

# No manifest names what its crate does not use.
unused() {
    tool cargo-machete '^0.9' || return 1
    cargo machete --skip-target-dir
}

# Each library compiles with none of its features, and with each of them alone. It is compiled by itself and without what its tests want, so
# with what it asks for and not with what somebody else in this workspace happens to ask for.
features() {
    tool cargo-hack '^0.6' || return 1
    local library
    for library in $libraries; do
        cargo hack check --quiet --locked --package "$library" --lib --each-feature || return 1
    done
}

# What is documented of a library by itself, as somebody reads it who depends on that alone: a link to what another library has with a feature
# more is none there.
documented() {
    local library
    for library in $libraries; do
        RUSTDOCFLAGS=-Dwarnings cargo doc --quiet --locked --no-deps --lib --package "$library" || return 1
    done
}

# A program of somebody else that wants so little of us gets no more.
consumers() {
    local code=0
    # Balances over lists that come from wherever: no client of ZooKeeper, no sockets, no TLS.
    consumer balancing 'proto loadbalance' 'zookeeper-client|zk-session|registry|mio|socket2|hyper|rustls|ring|aws-lc-sys' || code=1
    # What is stored is read and written: no runtime either.
    consumer storing 'proto' 'tokio|tracing|zookeeper-client|zk-session|mio|rustls|ring|aws-lc-sys' || code=1
    # The registry by way of a gateway: no client of ZooKeeper, and no TLS unless it is asked for.
    consumer asking 'registry=http' 'zookeeper-client|rustls|ring|aws-lc-sys|tracing-subscriber' || code=1
    # Clients over tower and hyper know no ZooKeeper.
    consumer calling 'adapters=hyper loadbalance' 'zookeeper-client|zk-session|registry|rustls|ring|aws-lc-sys' || code=1
    return "$code"
}

# consumer NAME "PACKAGE[=FEATURE]..." "FORBIDDEN|...": a project of its own outside this workspace.
consumer() {
    local name=$1 wanted=$2 forbidden=$3 folder=$work/$1 package feature tree found
    mkdir --parents "$folder/src"
    {
        printf '[package]\nname = "%s"\nversion = "0.0.0"\nedition = "2024"\n\n[workspace]\n\n[dependencies]\n' "$name"
        for package in $wanted; do
            feature=${package#*=}
            package=${package%%=*}
            [[ $feature == "$package" ]] && feature= || feature="\"$feature\""
            printf '%s = { path = "%s", features = [%s] }\n' "$package" "$PWD/crates/$package" "$feature"
        done
    } >"$folder/Cargo.toml"
    for package in $wanted; do echo "use ${package%%=*} as _;"; done >"$folder/src/lib.rs"
    # The versions that are tried here.
    cp Cargo.lock "$folder"
    cargo check --quiet --manifest-path "$folder/Cargo.toml" || return 1
    tree=$(cargo tree --manifest-path "$folder/Cargo.toml" --edges normal,build --prefix none --format '{p}' | cut -d ' ' -f 1 | sort --unique) || return 1
    found=$(grep --extended-regexp "^($forbidden)$" <<<"$tree" | xargs)
    if [[ -n $found ]]; then
        echo "who wants $wanted gets $found:" >&2
        cargo tree --manifest-path "$folder/Cargo.toml" --edges normal,build --invert "${found%% *}" >&2
        return 1
    fi
    echo "   who wants $wanted gets $(wc --lines <<<"$tree") packages, none of $forbidden" >&2
}

# The oldest compiler that manifests promise.
oldest() {
    if ! command -v rustup >/dev/null; then
        echo "without rustup there is no Rust $msrv" >&2
        return 3
    fi
    if ! rustup run "$msrv" rustc --version >&2 2>/dev/null && ! rustup toolchain install "$msrv" --profile minimal --no-self-update >&2; then
        echo "Rust $msrv cannot be had" >&2
        return 3
    fi
    rustup run "$msrv" cargo check --quiet --locked --workspace --all-features
}

steps=(manifests locks dependencies unused consumers features documented oldest)
[[ $# -gt 0 ]] || set -- "${steps[@]}"
for name in "$@"; do
    if [[ " ${steps[*]} " != *" $name "* ]]; then
        echo "$name is no step; accepted: ${steps[*]}" >&2
        exit 2
    fi
done
# One command to the shell, which is read before it begins: whoever edits this file meanwhile does not change what runs.
{
    for name in "$@"; do
        step "$name"
    done
    if [[ ${#failed[@]} -gt 0 ]]; then
        echo "FAILED: ${failed[*]}" >&2
        exit 1
    fi
    if [[ ${#unchecked[@]} -gt 0 ]]; then
        echo "all else is well; not checked: ${unchecked[*]}" >&2
    else
        echo "all is well" >&2
    fi
    exit
}
