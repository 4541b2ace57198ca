#!/bin/sh
# Make TorchServe's archive of a trained target: sh deploy/torchserve/archive.sh [--dry-run]
# TARGET=petals, WORKSPACE=. (where it was trained), ARCHIVES=dist (where <target>.mar is written)
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=deploy/common.sh
. "$root/deploy/common.sh"

workspace=$(cd "${WORKSPACE:-$root}" && pwd)
target=${TARGET:-petals}
archives=${ARCHIVES:-$workspace/dist}
tools=$root/.bitbloom/torchserve-packages
staged=$root/.bitbloom/torchserve-staged/$target
lock=$root/deploy/torchserve/requirements.lock
python=$root/.venv/bin/python

# Beside the project's venv, which has torch, and not in it.
if ! cmp -s "$lock" "$tools/requirements.lock"; then
    run rm -rf "$tools"
    run "$root/.venv/bin/uv" pip install --quiet --require-hashes --no-deps --python "$python" --target "$tools" -r "$lock"
    run cp "$lock" "$tools/requirements.lock"
fi

run rm -rf "$staged"
run mkdir -p "$staged" "$archives"
run env -C "$workspace" "$python" "$root/deploy/torchserve/archive.py" "$target" "$staged"
run env "PYTHONPATH=$tools" "$python" "$tools/bin/torch-model-archiver" --model-name "$target" --version 1.0 --force \
    --handler "$root/deploy/torchserve/handler.py" --extra-files "$staged" --export-path "$archives"
run rm -rf "$staged"
run echo "$archives/$target.mar"
