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
