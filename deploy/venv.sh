#!/bin/sh
# Make a venv with exactly the packages of a lock of deploy/: sh deploy/venv.sh deploy/requirements.lock .bitbloom/deploy-venv
set -eu
lock=$1 venv=$2

if cmp -s "$lock" "$venv/requirements.lock"; then exit 0; fi
torch_source=
if grep -q '^torch==' "$lock"; then
    python=.venv/bin/python
    . scripts/torch_source.sh
fi
.venv/bin/uv venv --quiet --clear --python .venv/bin/python "$venv"
# shellcheck disable=SC2086 # the option and its value are two words
.venv/bin/uv pip sync --quiet --require-hashes $torch_source --python "$venv/bin/python" "$lock"
cp "$lock" "$venv/requirements.lock"
