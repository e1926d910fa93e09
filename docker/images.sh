# The images that ours are built of, to be sourced: taken from a registry, or made here where none can be reached. No program of its own.

stand_in=headkeeper-stand-in
# What this run brought to the engine.
images_brought=()
# Whether this run came to its images, and what builds had left in the engine before it did.
images_begun=
images_before=

# Sees to it that an image is there: image VARIABLE USUAL MAKE. Where the variable names one, that one and no other will do.
image() {
    local variable=$1 usual=$2 make=$3
    local named=${!variable:-}
    local wanted=${named:-$usual}
    if docker image inspect "$wanted" >/dev/null 2>&1; then
        echo "image $wanted: is here"
    elif refusal=$(timeout 600 docker pull --quiet "$wanted" 2>&1); then
        echo "image $wanted: pulled"
        images_brought+=("$wanted")
    elif [[ -n $named ]]; then
        echo "image $wanted ($variable) cannot be had: $refusal" >&2
        return 1
    else
        wanted=$stand_in/${usual%%:*}
        if docker image inspect "$wanted" >/dev/null 2>&1; then
            echo "image $usual cannot be pulled; $wanted is here"
        else
            echo "image $usual cannot be pulled ($refusal); making $wanted, which takes some minutes ..."
            local begin=$SECONDS
            "$make" "$wanted"
            echo "image $wanted: made in $((SECONDS - begin)) s"
            images_brought+=("$wanted")
        fi
    fi
    export "$variable=$wanted"
}

# All that compose.yaml needs, the base first: the others are made of it.
images_up() {
    images_before=$(images_left)
    images_begun=1
    image BASE_IMAGE debian:bookworm-slim make_base
    if programs_fit; then
        programs_taken
    else
        image RUST_IMAGE rust:1-slim-bookworm make_rust
    fi
    image ZOOKEEPER_IMAGE zookeeper:3.9 make_zookeeper
}

# Ends where PROGRAMS names a folder without programs of ours. It takes no engine to see that.
programs_there() {
    [[ -n ${PROGRAMS:-} ]] || return 0
    local program
    for program in demo gateway; do
        if [[ ! -f $PROGRAMS/$program || ! -x $PROGRAMS/$program ]]; then
            echo "PROGRAMS=$PROGRAMS has no program $program" >&2
            echo "try: cargo build -p demo -p gateway, and PROGRAMS=target/debug; or leave PROGRAMS out, and they are compiled in a container" >&2
            exit 1
        fi
    done
}

# Whether there are programs of ours, in the folder PROGRAMS, that the base can run: those of this machine ask for a C library as new as its own.
programs_fit() {
    [[ -n ${PROGRAMS:-} ]] || return 1
    local here there
    here=$(getconf GNU_LIBC_VERSION)
    if ! there=$(timeout 60 docker run --rm "$BASE_IMAGE" getconf GNU_LIBC_VERSION); then
        echo "$BASE_IMAGE cannot be run" >&2
        exit 1
    fi
    if [[ $(printf '%s\n' "$here" "$there" | sort --version-sort | tail --lines 1) != "$there" ]]; then
        echo "the programs in $PROGRAMS want $here, $BASE_IMAGE has $there; compiling others"
        return 1
    fi
}

# What the images are built of is then those programs, without their symbols, and nothing is compiled.
programs_taken() {
    export CONTEXT=$work/context RUST_IMAGE=$BASE_IMAGE
    mkdir --parents "$CONTEXT/docker" "$CONTEXT/programs"
    cp docker/Dockerfile docker/answers.sh docker/with-token.sh "$CONTEXT/docker"
    local program
    for program in demo gateway; do strip -o "$CONTEXT/programs/$program" "$PROGRAMS/$program"; done
    built_of="programs in $PROGRAMS"
    echo "$built_of: taken, nothing is compiled"
}

# Debian as small as its own tool makes it, from where this machine has its packages.
make_base() {
    scripts/setup.sh debootstrap
    local tree=$work/base
    # One that is not Debian's has no list of Debian's packages: then Debian's own address.
    local source
    source=$(apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI)' 'Created-By: Packages' | sed --quiet '0,/^Debian bookworm /s///p')
    quietly 900 debootstrap --variant=minbase bookworm "$tree" "${source:-http://deb.debian.org/debian}"
    # As the slim image does without them.
    rm -rf "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/* "$tree"/usr/share/{doc,info,locale,man}
    tar --create --directory "$tree" --numeric-owner . | docker import --change 'LABEL headkeeper=stand-in' --change 'CMD ["bash"]' - "$1" >/dev/null
    rm -rf "$tree"
}

# The machine's compiler without its documentation, and the authorities that the machine trusts.
make_rust() {
    local sysroot tree=$work/rust
    sysroot=$(rustc --print sysroot)
    mkdir "$tree"
    mkdir "$tree/toolchain"
    cp --archive "$sysroot/bin" "$sysroot/lib" "$tree/toolchain"
    cp --dereference /etc/ssl/certs/ca-certificates.crt "$tree"
    quietly 900 docker build --force-rm --tag "$1" --build-arg "BASE_IMAGE=$BASE_IMAGE" --file docker/stand-ins/rust.Dockerfile "$tree"
    rm -rf "$tree"
}

make_zookeeper() {
    quietly 900 docker build --force-rm --tag "$1" --build-arg "BASE_IMAGE=$BASE_IMAGE" --file docker/stand-ins/zookeeper.Dockerfile docker/stand-ins
}

# What builds of ours left on the way, of this run and of others: the next build need not do that again.
images_left() {
    docker images --quiet --filter dangling=true --filter label=headkeeper=build 2>/dev/null | sort --unique || true
}

# Removes what this run brought or made, and what its builds left on the way. The images of `make demo-docker` stay, and what its builds left.
images_down() {
    # A run that has not come to its images has none, and those with our names are of an earlier one.
    [[ -n $images_begun ]] || return 0
    local images
    mapfile -t images < <(images_left | comm -13 <(echo "$images_before") -)
    images+=("headkeeper-demo:$TAG" "headkeeper-gateway:$TAG" "${images_brought[@]}")
    docker rmi --force "${images[@]}" >/dev/null 2>&1 || true
}
