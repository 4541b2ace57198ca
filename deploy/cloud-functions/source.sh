#!/bin/sh
# Write the source of a function to .bitbloom/deploy/cloud-functions: sh deploy/cloud-functions/source.sh BENTO
# It consists of the handler, its lock, and the Bento, which contains the model and the service's modules.
set -eu
cd "$(dirname "$0")/../.."
bento=$1 source=.bitbloom/deploy/cloud-functions

[ -f "$bento" ] || { echo "error: $bento is missing: 'make package' makes it" >&2; exit 1; }
rm -rf "$source"
mkdir -p "$source/bento"
tar -xJf "$bento" -C "$source/bento"
cp deploy/cloud-functions/main.py "$source/main.py"
cp deploy/cloud-functions/requirements.lock "$source/requirements.txt"
grep -q '"kind": "image"' "$source/bento/src/service.json" || {
    echo "error: $bento has no model of kind image, the only kind that this function serves" >&2
    exit 1
}
