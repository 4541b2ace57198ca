#!/bin/sh
# Lay out what a function is deployed from, .bitbloom/deploy/cloud-functions: sh deploy/cloud-functions/source.sh BENTO
# The handler, its lock, and the Bento with model and modules: a function of 2nd generation carries its model in its source.
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
    echo "error: $bento is not of a model of kind image, which this function serves" >&2
    exit 1
}
