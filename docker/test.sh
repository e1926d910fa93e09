#!/usr/bin/env bash
# Builds the images, starts the project, and looks from outside whether it does what it should: before and after a ZooKeeper server and a
# time server are killed, and when they are back. Takes away all that it made, and nothing that was there before. With --if-possible it is
# no failure that no engine can be had.
#
# PROFILE=release builds as for use; PROGRAMS=target/debug takes the programs from there, where the images can run them, and compiles nothing;
# KEEP_IMAGES=1 leaves the images for the next run.
source "$(dirname "$0")/common.sh"
source docker/seen.sh

project=headkeeper-test
export PROFILE=${PROFILE:-dev} TAG=test GATEWAY_PORT=
checks=0

tidy() {
    if [[ -n ${compose_kind:-} ]]; then project_down; fi
    # An engine's folder that is ours alone goes as a whole, below.
    if [[ -z ${KEEP_IMAGES:-}$engine_data_new ]]; then images_down; fi
    engine_down "${KEEP_IMAGES:-and_images}"
    if (($1 != 0)); then echo "$checks passed, 1 failed"; fi
}

# What must hold within so many seconds: await SECONDS "what" COMMAND [ARGUMENT...].
await() {
    local limit=$1 what=$2 begin=$SECONDS
    shift 2
    seen=
    until "$@"; do
        if ((SECONDS - begin >= limit)); then fail "$what, within $limit s" "$seen"; fi
        sleep 0.3
    done
    checks=$((checks + 1))
    printf 'ok %3d s  %s: %s\n' $((SECONDS - begin)) "$what" "$seen"
}

fail() {
    printf 'FAILED    %s: %s\n' "$1" "${2:-nothing was seen}" >&2
    local name
    for name in zookeeper-1 zookeeper-2 zookeeper-3 server-a server-b server-c client gateway; do
        echo "--- $name: $(docker ps --all --filter "id=$(container "$name")" --format '{{.Status}}')" >&2
        docker logs --tail 8 "$(container "$name")" >&2 2>&1 || true
    done
    exit 1
}

# --- what must hold besides ---

# Who is no root and can change nothing but what is its own.
confined() {
    local name who
    seen=
    for name in server-a client gateway; do
        who=$(docker exec "$(container "$name")" sh -c 'id --user; touch /usr/local/bin/x 2>/dev/null && echo writes; grep CapEff /proc/1/status' | xargs)
        seen+="$name $who; "
        [[ $who == "8480 CapEff: 0000000000000000" ]] || return 1
    done
}

# The one port that this machine shows is the gateway's, to itself alone.
published() {
    seen=$(docker ps --filter "label=com.docker.compose.project=$project" --format '{{.Ports}}' | grep --only-matching --extended-regexp '[^ ]+->[^ ,]+' | xargs || true)
    [[ $seen =~ ^127\.0\.0\.1:[0-9]+-\>8480/tcp$ ]]
}

refuses_without_token() {
    ask /v1/services/time without
    seen="status $status"
    [[ $status == 401 ]]
}

shows_console() {
    ask / without
    seen="status $status, $(grep --only-matching --max-count 1 '<title>.*</title>' <<<"$answer" || true)"
    [[ $status == 200 && $answer == *"/script>"* ]]
}

# A service ended as it should when it is asked to: ended SERVICE.
ended() {
    local how
    how=$(docker inspect --format '{{.State.Status}} {{.State.ExitCode}}' "$(container "$1")")
    seen="$how, said last: $(docker logs --tail 1 "$(container "$1")" 2>/dev/null)"
    [[ $how == "exited 0" ]]
}

# --- the story ---

story() {
    local begin=$SECONDS
    echo "== $compose_kind: $($compose_kind version --short)"
    project_down
    project_build
    echo "built in $((SECONDS - begin)) s (${built_of:-profile $PROFILE}): $(docker images --format '{{.Repository}} {{.Size}}' --filter reference='headkeeper-*:test' | sort | xargs)"
    compose up --detach >"$work/log" 2>&1 || said
    await 120 "everybody is well" all_healthy
    gateway=127.0.0.1:$(compose port gateway 8480 | cut -d : -f 2)
    token=$(docker exec "$(container gateway)" sed --quiet 's/^write //p' /run/headkeeper/tokens)

    await 0 "processes have no rights" confined
    await 0 "one port is published" published
    await 0 "without a token nothing is told" refuses_without_token
    await 0 "the console is there" shows_console
    await 30 "the ensemble has a leader" ensemble zookeeper-1 zookeeper-2 zookeeper-3
    await 30 "the gateway lists all" lists server-a server-b server-c
    marked=0
    await 30 "the client is answered" answered 14 server-a server-b server-c

    local lost_keeper=$leader left_keepers=() name
    for name in zookeeper-1 zookeeper-2 zookeeper-3; do [[ $name == "$lost_keeper" ]] || left_keepers+=("$name"); done
    echo "-- killing $lost_keeper, which leads the ensemble"
    docker kill "$(container "$lost_keeper")" >/dev/null
    mark
    await 60 "the other two go on" ensemble "${left_keepers[@]}"
    await 60 "the gateway lists all, live" lists server-a server-b server-c
    await 30 "the client is answered" answered 14 server-a server-b server-c

    local lost=$master left=()
    for name in server-a server-b server-c; do [[ $name == "$lost" ]] || left+=("$name"); done
    echo "-- killing $lost, which leads the service"
    docker kill "$(container "$lost")" >/dev/null
    mark
    await 60 "the gateway lists the other two, one of which leads" lists "${left[@]}"
    await 30 "the client was answered all the time" answered 14 "${left[@]}"

    echo "-- starting $lost_keeper and $lost again"
    docker start "$(container "$lost_keeper")" "$(container "$lost")" >/dev/null
    await 90 "everybody is well" all_healthy
    await 60 "all three ZooKeeper servers are one ensemble" ensemble zookeeper-1 zookeeper-2 zookeeper-3
    await 60 "the gateway lists all" lists server-a server-b server-c
    mark
    await 30 "the client is answered" answered 14 server-a server-b server-c

    echo "-- asking the client, a server and the gateway to end"
    compose stop client server-a gateway >"$work/log" 2>&1 || said
    # Its code is 1 when a request failed, at any time.
    await 0 "the client ends well" ended client
    await 0 "a server ends well" ended server-a
    await 0 "the gateway ends well" ended gateway
    project_down
    await 0 "nothing is left" nothing_left
    echo "$compose_kind: $((SECONDS - begin)) s"
}

programs_there
if ! engine_up; then
    if [[ ${1:-} == --if-possible ]]; then
        echo "NOTHING WAS CHECKED: no engine for containers can be had here" >&2
        exit 0
    fi
    exit 1
fi
scripts/setup.sh curl
images_up
for compose_kind in "${compose_kinds[@]}"; do
    story
done
if [[ -z ${KEEP_IMAGES:-} ]]; then
    images_down
    await 0 "no image is left" images_gone
fi
echo "$checks passed, 0 failed"
