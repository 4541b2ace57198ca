#!/bin/sh
# Download the locked packages for this platform and write their hashes to nix/hashes.json: make nix-hashes
# Outside the flake's shell, the script restarts itself in it.
set -eu
cd "$(dirname "$0")/.."
export NIX_CONFIG="${NIX_CONFIG:-}
extra-experimental-features = nix-command flakes"

if [ "${1:-}" != --in-shell ]; then
    command -v nix >/dev/null || { echo "error: nix is not installed: see docs/toolchain.md" >&2; exit 1; }
    exec nix develop --command sh nix/hashes.sh --in-shell
fi

system=$(nix eval --impure --raw --expr builtins.currentSystem)
platform=-$system
[ "$system" != x86_64-linux ] || platform=
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

entry='{}'
for what in wheelhouse serve-wheelhouse; do
    case $what in
        wheelhouse) lock=requirements$platform.lock ;;
        serve-wheelhouse) lock=requirements-serve$platform.lock ;;
    esac
    if [ ! -f "$lock" ]; then
        echo "error: $lock is missing: docs/toolchain.md describes how to make one for $system" >&2
        exit 1
    fi
    sh nix/wheelhouse.sh "$system" "$PYTHON" "$lock" "$work/$what"
    entry=$(echo "$entry" | jq --arg what "$what" --arg lock "$(sha256sum "$lock" | cut -d' ' -f1)" \
        --arg hash "$(nix hash path "$work/$what")" '.[$what] = {hash: $hash, lock: $lock}')
done
jq --sort-keys --arg system "$system" --argjson entry "$entry" '.[$system] = $entry' nix/hashes.json > "$work/hashes.json"
cat "$work/hashes.json" > nix/hashes.json
