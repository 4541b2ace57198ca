#!/bin/sh
# Make TorchServe's archive of a trained target: sh deploy/torchserve/archive.sh
# TARGET=petals, WORKSPACE=. (where it was trained), ARCHIVES=dist (where <target>.mar is written)
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
workspace=$(cd "${WORKSPACE:-$root}" && pwd)
target=${TARGET:-petals}
archives=${ARCHIVES:-$workspace/dist}
tools=$root/.bitbloom/torchserve-packages
lock=$root/deploy/torchserve/requirements.lock
python=$root/.venv/bin/python

# Beside the project's venv, which has torch, and not in it.
if ! cmp -s "$lock" "$tools/requirements.lock"; then
    rm -rf "$tools"
    "$root/.venv/bin/uv" pip install --quiet --require-hashes --no-deps --python "$python" --target "$tools" -r "$lock"
    cp "$lock" "$tools/requirements.lock"
fi

staged=$(mktemp -d)
trap 'rm -rf "$staged"' EXIT
(cd "$workspace" && "$python" "$root/deploy/torchserve/archive.py" "$target" "$staged")
mkdir -p "$archives"
PYTHONPATH=$tools "$python" "$tools/bin/torch-model-archiver" --model-name "$target" --version 1.0 --force \
    --handler "$root/deploy/torchserve/handler.py" --extra-files "$staged" --export-path "$archives"
echo "$archives/$target.mar"
