# An engine for containers, to be sourced: the one that this machine has, or one of our own for as long as we run. No program of its own.

# Where our own one keeps images from run to run; below it, nothing is anybody else's.
engine_data=$PWD/${CARGO_TARGET_DIR:-target}/docker
[[ ${CARGO_TARGET_DIR:-} == /* ]] && engine_data=$CARGO_TARGET_DIR/docker
# What the processes in its containers are grouped under.
engine_group=headkeeper-engine
engine_pid=
# Whether this run made the folder: what was there before us is not ours to delete.
engine_data_new=

engine_answers() {
    command -v docker >/dev/null && timeout 20 docker version --format '{{.Server.Version}}' 2>/dev/null
}

# Finds an engine, and what is installed that understands compose files: `compose_kinds`. Fails where there is none, and says why.
engine_up() {
    local version
    if version=$(engine_answers); then
        echo "engine: the one of this machine, $version"
    else
        own_engine_up || return 1
    fi
    compose_kinds=()
    scripts/setup.sh compose || return 1
    if docker compose version >/dev/null 2>&1; then compose_kinds+=("docker compose"); fi
    if command -v docker-compose >/dev/null; then compose_kinds+=(docker-compose); fi
}

own_engine_up() {
    if [[ $(id -u) -ne 0 ]]; then
        echo "no engine for containers answers here, and only root can start one" >&2
        return 1
    fi
    scripts/setup.sh engine || return 1
    # Two would fight for the same bridge. Whoever comes second waits for the first.
    exec 8>/run/lock/headkeeper-engine
    if ! flock --nonblock 8; then
        echo "another engine of ours runs on this machine, of make demo-docker or make docker-test; waiting for its end, half an hour at most ..." >&2
        if ! flock --wait 1800 8; then
            echo "it did not end within half an hour; end it (Ctrl-C where it was started) and try again" >&2
            return 1
        fi
    fi
    machine_before
    if [[ ! -e $engine_data ]]; then engine_data_new=1; fi
    mkdir -p "$engine_data"
    # A path to a socket may have no more than 107 characters, so it is not below the checkout.
    export DOCKER_HOST=unix://$work/socket
    setsid dockerd --data-root "$engine_data" --exec-root "$work/exec" --pidfile "$work/pid" --host "$DOCKER_HOST" \
        --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "$engine_group" \
        </dev/null >"$work/engine.log" 2>&1 8>&- &
    engine_pid=$!
    local version give_up=$((SECONDS + 120))
    until version=$(engine_answers); do
        if ! kill -0 "$engine_pid" 2>/dev/null || ((SECONDS > give_up)); then
            echo "an engine of our own does not start:" >&2
            grep --invert-match level=info "$work/engine.log" | tail -n 10 >&2
            return 1
        fi
        sleep 0.2
    done
    echo "engine: $version, our own until we end (process $engine_pid)"
}

# Ends our own engine and takes away what it changed on this machine. What it has built stays for the next run, unless told "and_images":
# then the folder goes, if nobody had it before this run.
engine_down() {
    [[ -n $engine_pid ]] || return 0
    # What it runs itself, containerd, ends with it.
    kill -TERM "$engine_pid" 2>/dev/null || true
    local give_up=$((SECONDS + 40))
    while kill -0 "$engine_pid" 2>/dev/null; do
        if ((SECONDS > give_up)); then
            echo "the engine does not end; killing it" >&2
            kill -KILL "$engine_pid" $(cat "$work"/exec/containerd/containerd.pid 2>/dev/null) 2>/dev/null || true
        fi
        sleep 0.1
    done
    engine_pid=
    local mounted
    while read -r mounted; do
        umount "$mounted"
    done < <(findmnt --list --noheadings --output TARGET | grep --fixed-strings -e "$work/" -e "$engine_data/" | tac)
    machine_as_before
    if [[ ${1:-} == and_images && -n $engine_data_new ]]; then rm -rf "$engine_data"; fi
    exec 8>&-
}

# What an engine changes on this machine and leaves so when it ends: files, forwarding, a bridge, rules.
machine_before() {
    engine_paths=()
    local path
    for path in /etc/docker/key.json /run/docker /run/containerd; do
        if [[ ! -e $path ]]; then engine_paths+=("$path"); fi
    done
    net_forward=$(</proc/sys/net/ipv4/ip_forward)
    net_interfaces=$(ls /sys/class/net)
    rules >"$work/rules"
}

machine_as_before() {
    local command
    while read -r command; do
        # Taken apart as a shell would, but nothing in it is run.
        xargs --no-run-if-empty env <<<"$command" || echo "this rule stays: $command" >&2
    done < <(
        rules | comm -13 "$work/rules" - | grep --extended-regexp 'DOCKER|docker0' >"$work/rules.new"
        # A chain goes when it is empty and nobody mentions it any more.
        sed --quiet 's/ -A / -D /p' "$work/rules.new"
        sed --quiet 's/ -N / -X /p' "$work/rules.new"
        rules | comm -23 "$work/rules" - | grep --fixed-strings ' -P '
    )
    echo "$net_forward" >/proc/sys/net/ipv4/ip_forward
    if [[ -e /sys/class/net/docker0 && $net_interfaces != *docker0* ]]; then ip link delete docker0; fi
    find /sys/fs/cgroup -depth -type d -path "*/$engine_group*" -exec rmdir {} + 2>/dev/null || true
    if [[ ${#engine_paths[@]} -gt 0 ]]; then rm -rf "${engine_paths[@]}"; fi
}

# Every rule and policy, as the command that makes it.
rules() {
    local tool table
    for tool in iptables ip6tables; do
        for table in filter nat; do
            # Where the kernel has no such table nothing is in it.
            "$tool" --table "$table" --list-rules 2>/dev/null | sed "s/^/$tool --table $table /" || true
        done
    done | LC_ALL=C sort
}
