#!/usr/bin/env bash
# Runs every test. All are compiled first; then two programs of tests run at a time (JOBS=3: three), for what they do most is wait for
# servers. What a program says is printed when it has ended. All of them run, and those that failed are named at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
# At once in a program: no more servers than a small machine carries.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-4}
folder=$(mktemp -d)
export folder
trap ended EXIT

# Also when it is ended early: then what runs is named, with what it has said last.
ended() {
    local said
    for said in "$folder"/*.running; do
        [[ -e $said ]] || break
        printf '\n     Ended while it ran: %s\n' "$(head -n 1 "$said")" >&2
        sed 1d "$said" | tail -n 20 >&2
    done
    rm -rf "$folder"
}

cargo test --workspace --all-features --no-run --message-format=json-render-diagnostics >"$folder/compiled"
# Its package's folder, in which each is run as `cargo test` does, and the program.
sed -nE 's/.*"manifest_path":"([^"]*)\/Cargo.toml".*"profile":\{[^}]*"test":true\}.*"executable":"([^"]*)".*/\1\t\2/p' "$folder/compiled" >"$folder/programs"
total=$(wc -l <"$folder/programs")
((total)) || { echo "test.sh: cargo compiled no tests" >&2; exit 1; }

run() { # NUMBER, FOLDER and PROGRAM, with tabs between
    local number package program code=0
    IFS=$'\t' read -r number package program <<<"$1"
    echo "${program##*/} of ${package##*/}" >"$folder/$number.running"
    (cd "$package" && "$program") >>"$folder/$number.running" 2>&1 </dev/null || code=$?
    mv "$folder/$number.running" "$folder/$number"
    # One short line, which is not torn by that of another.
    echo "$code $number ${program##*/} of ${package##*/}"
}
export -f run

through=0 failed=()
while read -r code number name; do
    printf '\n     Ran %d of %d: ' $((++through)) "$total"
    cat "$folder/$number"
    ((code == 0)) || failed+=("$name")
done < <(
    # Those with servers take long and begin, so that in the end nobody waits for one of them alone.
    { grep '/real_[^/]*$' "$folder/programs"; grep -v '/real_[^/]*$' "$folder/programs"; } | nl -w 1 |
        xargs -d '\n' -P "${JOBS:-2}" -n 1 bash -c 'run "$1"' run
)
# Each was run, or something went wrong that none of them could tell.
((through == total)) || failed+=("$((total - through)) that were not run")

cargo test --workspace --all-features --doc || failed+=("the documentation's examples")
if ((${#failed[@]})); then
    printf 'failed: %s\n' "${failed[@]}" >&2
    exit 1
fi
echo "$total programs of tests and the documentation's examples: all passed"
