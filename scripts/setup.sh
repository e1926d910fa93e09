#!/usr/bin/env bash
# Sees to it that what is named is on this machine: compiler, c++, cmake, zookeeper, kazoo, mosquitto, mandoc, chromium, nginx, engine,
# compose, debootstrap, curl. Says nothing when it is; on Debian, as root, installs what is not; otherwise says what is missing and ends with 1.
set -euo pipefail

has_zookeeper() {
    [[ -n ${ZOOKEEPER_HOME:-} ]] || command -v zkServer zkServer.sh >/dev/null || [[ -f /usr/share/java/zookeeper.jar ]]
}

has_mosquitto() {
    # As crates/demo/src/broker.rs looks for it.
    [[ -x /usr/sbin/mosquitto ]] || command -v mosquitto >/dev/null
}

has_java() {
    [[ -x ${JAVA_HOME:-/nonexistent}/bin/java ]] || command -v java >/dev/null
}

packages=()
for need in "$@"; do
    case $need in
    compiler)
        # Rust links with it, and the TLS library is C in part.
        command -v cc >/dev/null || packages+=(gcc libc6-dev)
        ;;
    c++)
        # The fuzzer is written in it, and so is what a peer in a bench builds.
        command -v c++ >/dev/null || packages+=(g++)
        ;;
    cmake)
        # A peer in the bench of loadbalance builds a C library with it.
        command -v cmake >/dev/null || packages+=(cmake)
        ;;
    zookeeper)
        # The jars alone, as crates/zk-local would install them at the first test: here nobody's patience runs out.
        has_zookeeper || packages+=(libzookeeper-java libslf4j-java libnetty-java)
        has_java || packages+=(default-jre-headless)
        ;;
    kazoo)
        # A foreign ZooKeeper client, for the python3 of Debian, which tests start by its path: the first one on PATH may see none
        # of Debian's packages.
        /usr/bin/python3 -c 'import kazoo' 2>/dev/null || packages+=(python3-kazoo)
        ;;
    mosquitto)
        # The broker for the services behind one. Tests start their own.
        has_mosquitto || packages+=(mosquitto)
        ;;
    mandoc)
        # Reads manual pages, and says what is wrong with them.
        command -v mandoc >/dev/null || packages+=(mandoc)
        ;;
    chromium)
        # A browser for the console's tests, what drives it, what gives it a certificate to show, and a font to write with.
        command -v chromium >/dev/null || packages+=(chromium)
        command -v chromedriver >/dev/null || packages+=(chromium-driver)
        command -v certutil >/dev/null && command -v pk12util >/dev/null || packages+=(libnss3-tools)
        command -v openssl >/dev/null || packages+=(openssl)
        [[ -n $(find /usr/share/fonts -name '*.ttf' -print -quit 2>/dev/null) ]] || packages+=(fonts-dejavu-core)
        ;;
    nginx)
        # What the bench of the gateway measures its proxy beside, and what asks both. It starts its own.
        command -v nginx >/dev/null || [[ -x /usr/sbin/nginx ]] || packages+=(nginx-light)
        command -v wrk >/dev/null || packages+=(wrk)
        ;;
    engine)
        # For containers: the engine, what talks to it, and what shows and takes away the network that it makes.
        command -v dockerd >/dev/null && command -v docker >/dev/null || packages+=(docker.io)
        command -v iptables >/dev/null || packages+=(iptables)
        command -v ip >/dev/null || packages+=(iproute2)
        ;;
    compose)
        # `docker compose` does as well, and Debian has none.
        docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null || packages+=(docker-compose)
        ;;
    debootstrap | curl)
        command -v "$need" >/dev/null || packages+=("$need")
        ;;
    *)
        echo "setup.sh: $need is unknown; accepted: compiler, c++, cmake, zookeeper, kazoo, mosquitto, mandoc, chromium, nginx, engine, compose, debootstrap, curl" >&2
        exit 2
        ;;
    esac
done
[[ ${#packages[@]} -gt 0 ]] || exit 0

if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
    echo "missing on this machine, as Debian calls it: ${packages[*]}" >&2
    echo "install that (on Debian: sudo apt-get install ${packages[*]}) and try again" >&2
    exit 1
fi
echo "installing ${packages[*]} ..." >&2
export DEBIAN_FRONTEND=noninteractive
apt=(apt-get --quiet=2 --option DPkg::Lock::Timeout=900)
# Old lists are no reason to give up: the packages may be had all the same.
"${apt[@]}" update >&2 || echo "the lists of packages could not be brought up to date" >&2

# What dpkg says of each package is worth reading only when it fails.
said=$(mktemp)
trap 'rm -f "$said"' EXIT

# Debian starts a service as soon as it is installed, and a broker, an engine or whatever else comes with these is to listen only when a
# test or a bench says so. 101 is the policy's "no"; a policy that is there already is somebody's own.
policy=/usr/sbin/policy-rc.d
if [[ " ${packages[*]} " =~ " mosquitto "|" nginx-light "|" docker.io " && ! -e $policy ]]; then
    trap 'rm -f "$said" "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
if ! "${apt[@]}" install --yes --no-install-recommends "${packages[@]}" </dev/null &>"$said"; then
    cat "$said" >&2
    exit 1
fi
