# What test.sh sees of the project from outside, to be sourced. Each leaves in $seen what it saw, for people. No program of its own.

health() {
    docker inspect --format '{{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}' "$(container "$1")" 2>/dev/null
}

# All that has a health is well, and the client, which has none, runs.
all_healthy() {
    local name bad=
    for name in zookeeper-1 zookeeper-2 zookeeper-3 server-a server-b server-c gateway client; do
        case $(health "$name") in
        healthy | running) ;;
        *) bad+="$name " ;;
        esac
    done
    seen=${bad:+not yet: $bad}
    [[ -z $bad ]] && seen="seven healthy, the client runs"
}

# Asks the gateway, with the token unless told "without": leaves $status and $answer. No list of processes shows the token.
ask() {
    local show=(--header @-)
    if [[ ${2:-} == without ]]; then show=(); fi
    status=$(curl --silent --max-time 5 "${show[@]}" --output "$work/answer" --write-out '%{http_code}' "http://$gateway$1" \
        <<<"authorization: Bearer $token" || true)
    answer=$(<"$work/answer")
}

# The gateway's list is live, has these instances and no other, and one of them leads: $master.
lists() {
    local ids source
    ask /v1/services/time
    ids=$(grep --only-matching '"instances":.*' <<<"$answer" | grep --only-matching '"id":"[^"]*"' | cut -d '"' -f 4 | sort | xargs || true)
    source=$(sed --quiet 's/.*"revision":"[^"]*","source":"\([a-z]*\)".*/\1/p' <<<"$answer")
    master=$(sed --quiet 's/.*"master":{"id":"\([^"]*\)".*/\1/p' <<<"$answer")
    seen="$status ${source:-no list}: ${ids:-nobody}; ${master:-nobody} leads"
    [[ $status == 200 && $source == live && $ids == "$*" && " $* " == *" $master "* ]]
}

# The client's requests, one a line.
requests() {
    docker logs "$(container client)" 2>/dev/null | grep --extended-regexp '^ *[0-9]+  ' || true
}

# From here on `answered` counts.
mark() {
    marked=$(requests | wc --lines)
}

# So many requests or more were sent since the mark, each of these servers answered one, and no request failed.
answered() {
    local least=$1 since by name
    shift
    since=$(requests | tail --lines "+$((marked + 1))")
    failed=$(grep --max-count 1 FAILED <<<"$since" || true)
    if [[ -n $failed ]]; then fail "no request fails" "$failed"; fi
    by=$(awk '{ count[$2]++ } END { for (by in count) if (by) printf "%s %d, ", by, count[by] }' <<<"${since//:8897/}")
    seen="${by:-nobody, }none failed"
    for name in "$@"; do
        if [[ $by != *"$name "* ]]; then return 1; fi
    done
    (($(grep --count . <<<"$since") >= least))
}

# One of these ZooKeeper servers leads the ensemble, and the others follow it: $leader.
ensemble() {
    local name mode others=0
    leader= seen=
    for name in "$@"; do
        mode=$(docker exec "$(container "$name")" bash -c 'exec 3<>/dev/tcp/127.0.0.1/2181; echo srvr >&3; cat <&3' 2>/dev/null | sed --quiet 's/^Mode: //p')
        seen+="$name: ${mode:-none}, "
        case $mode in
        leader) leader=$name ;;
        follower) others=$((others + 1)) ;;
        esac
    done
    seen=${seen%, }
    [[ -n $leader ]] && ((others == $# - 1))
}

# Nothing of the project is left in the engine.
nothing_left() {
    local containers networks volumes label="label=com.docker.compose.project=$project"
    containers=$(docker ps --all --quiet --filter "$label" | wc --lines)
    networks=$(docker network ls --quiet --filter "$label" | wc --lines)
    volumes=$(docker volume ls --quiet --filter "$label" | wc --lines)
    seen="$containers containers, $networks networks, $volumes volumes"
    ((containers + networks + volumes == 0))
}

# None of the images that were made or brought is left.
images_gone() {
    local image left=()
    for image in "headkeeper-demo:$TAG" "headkeeper-gateway:$TAG" "${images_brought[@]}"; do
        if docker image inspect "$image" >/dev/null 2>&1; then left+=("$image"); fi
    done
    seen="${#left[@]} images ${left[*]}"
    ((${#left[@]} == 0))
}
