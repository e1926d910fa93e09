# What demo.sh and test.sh have in common, to be sourced: a folder to work in, an end that tidies up, steps with a limit. No program of its own.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp --directory /tmp/headkeeper-docker.XXXXXX)
child=
source docker/engine.sh
source docker/images.sh

# Ends as it was asked to, after `tidy`, which each of the two has.
finish() {
    local code=$?
    trap '' INT TERM HUP
    trap - EXIT
    set +e
    if [[ -n $child ]]; then
        kill -TERM "$child" 2>/dev/null
        wait "$child"
    fi
    tidy "$code"
    rm -rf "$work"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# Runs something for so many seconds at most, in a way that a signal to us ends it at once.
within() {
    timeout --kill-after=20 "$@" &
    child=$!
    local code=0
    wait "$child" || code=$?
    child=
    return "$code"
}

# The same, heard only when it fails.
quietly() {
    within "$@" >"$work/log" 2>&1 || said
}

# Passes on what the last step said, and the failure.
said() {
    local code=$?
    tail --lines 40 "$work/log" >&2
    return "$code"
}

# `compose_kind`, docker-compose or docker compose, on our file and our project.
compose() {
    # shellcheck disable=SC2086 # two words are two arguments
    within 180 $compose_kind --project-name "$project" --file docker/compose.yaml "$@"
}

# Builds our images. Without BuildKit a step that fails would leave its container.
project_build() {
    # shellcheck disable=SC2086 # two words are two arguments
    quietly 3000 $compose_kind --project-name "$project" --file docker/compose.yaml build --force-rm
}

# The container of a service, running or not. `docker compose` and docker-compose have other words for this; the engine has one.
container() {
    docker ps --all --quiet --filter "label=com.docker.compose.project=$project" --filter "label=com.docker.compose.service=$1"
}

# Takes away the project's containers, networks and volumes, if there are any. Nobody else's.
project_down() {
    compose down --volumes --remove-orphans --timeout 5 >"$work/log" 2>&1 || said
}
