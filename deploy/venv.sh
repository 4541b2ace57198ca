#!/bin/sh
# Make a venv with exactly the packages of a lock of deploy/: sh deploy/venv.sh deploy/requirements.lock .bitbloom/deploy-venv
set -eu
lock=$1 venv=$2

if cmp -s "$lock" "$venv/requirements.lock"; then exit 0; fi
.venv/bin/uv venv --quiet --clear --python .venv/bin/python "$venv"
.venv/bin/uv pip sync --quiet --require-hashes --python "$venv/bin/python" "$lock"
cp "$lock" "$venv/requirements.lock"
