# Cargo's tools, to be sourced: on PATH, and where one is not installed, built once into target/tools. No program of its own.
build=$PWD/${CARGO_TARGET_DIR:-target}
[[ ${CARGO_TARGET_DIR:-} == /* ]] && build=$CARGO_TARGET_DIR
tools=$build/tools
PATH=$PATH:$tools/bin

# Sees to it that a tool is there: tool NAME VERSION [OPTION OF cargo install...].
tool() {
    local name=$1 version=$2
    shift 2
    if command -v "$name" >/dev/null; then return; fi
    echo "$name is not installed; building it into $tools, which takes some minutes once ..." >&2
    # A terminal shows how far it is; a log is not to be filled with what it is made of.
    if [[ ! -t 2 ]]; then set -- --quiet "$@"; fi
    # Neither optimised nor for a debugger: it is built more often than it would ever win back.
    if ! CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 \
        cargo install --locked --debug --version "$version" "$@" --root "$tools" --target-dir "$tools/build" "$name" >&2; then
        echo "$name cannot be built; where it comes from another way, put it on PATH" >&2
        return 1
    fi
    rm -rf "$tools/build"
}
