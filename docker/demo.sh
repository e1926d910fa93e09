#!/usr/bin/env bash
# Builds the images, starts the project, says how to look at it, and shows the client's requests until Ctrl-C. Then all but the images goes.
# PROFILE=release builds as for use, which takes longer; GATEWAY_PORT=8481 puts the console elsewhere.
source "$(dirname "$0")/common.sh"

project=headkeeper
export PROFILE=${PROFILE:-dev}
compose_kind=
# That is how this ends.
trap 'exit 0' INT

tidy() {
    if [[ -n $compose_kind ]]; then
        echo "taking it down ..."
        project_down
    fi
    engine_down
}

# Whether somebody answers on this port of this machine: then the engine cannot have it.
taken() {
    timeout 5 bash -c "exec 3<>/dev/tcp/127.0.0.1/$1" 2>/dev/null
}

# As compose finds it: the environment, docker/.env, and what compose.yaml says. Empty is any port, and that is left to the engine.
port=${GATEWAY_PORT-$({ echo GATEWAY_PORT=8480; cat docker/.env; } | sed --quiet 's/^GATEWAY_PORT=//p' | tail --lines 1)}
# Compose would say so as well, but after minutes, and not what to do.
if [[ $port =~ ^[1-9][0-9]*$ ]] && taken "$port"; then
    echo "port $port of 127.0.0.1, where the console would be, is taken: another program answers there" >&2
    # Under another port as well, this would be the same project: it would take over what runs, and take it down in the end.
    if [[ -n $(timeout 20 docker ps --quiet --filter "label=com.docker.compose.project=$project" 2>/dev/null) ]]; then
        echo "it may be what runs of this project already: end that first (docker compose -f docker/compose.yaml down)" >&2
    else
        echo "try: GATEWAY_PORT=$((port % 65535 + 1)) make demo-docker" >&2
    fi
    exit 1
fi

programs_there
engine_up
images_up
echo "building, which takes some minutes the first time ..."
compose_kind=${compose_kinds[0]}
project_build
compose up --detach >"$work/log" 2>&1 || said
# The gateway makes it at its first start, which takes a moment.
token=
for _ in {1..60}; do
    token=$(compose exec -T gateway sed --quiet 's/^write //p' /run/headkeeper/tokens 2>/dev/null) || true
    [[ -z $token ]] || break
    sleep 1
done
if [[ -z $token ]]; then
    echo "the gateway has made no token within a minute; its log:" >&2
    docker logs --tail 40 "$(container gateway)" >&2
    exit 1
fi
# An engine of our own is not where everybody looks for one.
hint=${engine_pid:+"  export DOCKER_HOST=$DOCKER_HOST"}
cat <<END

The console: http://$(compose port gateway 8480)/
Its token:   $token

In another terminal, for example:
$hint
  $compose_kind -f docker/compose.yaml exec client demo nodes --service time
  $compose_kind -f docker/compose.yaml kill server-a zookeeper-1
  $compose_kind -f docker/compose.yaml start server-a zookeeper-1

The client's requests, until Ctrl-C:

END
within 1000000 docker logs --follow --tail 20 "$(container client)"
