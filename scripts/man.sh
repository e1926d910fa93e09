#!/usr/bin/env bash
# Writes manual pages and completions of our programs into target/share, in the folders in which man and shells look for them.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
share=$target/share
bash=$share/bash-completion/completions zsh=$share/zsh/site-functions fish=$share/fish/vendor_completions.d
rm -rf "$share"
mkdir -p "$bash" "$zsh" "$fish"
for program in demo gateway chaos; do
    "$target/debug/$program" man --to "$share/man/man1"
    "$target/debug/$program" completions bash >"$bash/$program"
    "$target/debug/$program" completions zsh >"$zsh/_$program"
    "$target/debug/$program" completions fish >"$fish/$program.fish"
done
echo "for yourself: mkdir -p ~/.local && cp -r $share ~/.local; for everybody: sudo cp -r $share /usr/local"
