# What demo.sh and test.sh have in common, to be sourced: a folder to work in, an end that tidies up, waits with a limit. No program of its own.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp --directory /tmp/headkeeper-docker.XXXXXX)
child=
source docker/engine.sh
source docker/images.sh

# `tidy` is what each of the two does at its end, however that comes.
finish() {
    local code=$?
    trap '' INT TERM HUP
    trap - EXIT
    set +e
    # What runs has our signal already when it came from a terminal.
    if [[ -n $child ]]; then kill -TERM "$child" 2>/dev/null; fi
    tidy "$code"
    rm -rf "$work"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# Runs something that may take so many seconds, so that a signal to us ends it at once.
within() {
    timeout --kill-after=20 "$@" &
    child=$!
    local code=0
    wait "$child" || code=$?
    child=
    return "$code"
}

# The same, heard only when it fails. What it said last is then told.
quietly() {
    local code=0
    within "$@" >"$work/log" 2>&1 || code=$?
    if ((code != 0)); then
        echo "failed with $code: ${*:2}" >&2
        tail -n 40 "$work/log" >&2
    fi
    return "$code"
}

# docker-compose or docker compose, whichever `compose_kind` names, on our file and our project.
compose() {
    # shellcheck disable=SC2086 # two words are two arguments
    timeout --kill-after=20 120 $compose_kind --project-name "$project" --file docker/compose.yaml "$@"
}

# The container of a service.
container() {
    compose ps --quiet "$1" 2>/dev/null
}
