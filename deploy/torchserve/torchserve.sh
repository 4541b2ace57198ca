#!/bin/sh
# Archive or serve an exported photo classifier with TorchServe: sh deploy/torchserve/torchserve.sh archive|serve [--dry-run]
# TARGET=petals, MODEL=models/<target>/model.onnx, ARCHIVES=dist, TS_CONFIG=deploy/torchserve/config.properties
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
action=${1:?archive or serve}
shift
# shellcheck source=deploy/common.sh
. "$root/deploy/common.sh"

target=${TARGET:-petals}
archives=${ARCHIVES:-$root/dist}
tools=$root/.bitbloom/torchserve
lock=$root/deploy/torchserve/requirements.lock

[ "$action" != serve ] || [ "$DRY_RUN" = 1 ] || [ -f "$archives/$target.mar" ] || {
    echo "error: $archives/$target.mar is missing: make deploy-torchserve-archive TARGET=$target" >&2
    exit 1
}

# TorchServe has its own venv; its worker runs in the project's.
if ! cmp -s "$lock" "$tools/requirements.lock"; then
    run rm -rf "$tools"
    run "$root/.venv/bin/uv" pip install --quiet --require-hashes --no-deps --python "$root/.venv/bin/python" \
        --target "$tools" -r "$lock"
    run cp "$lock" "$tools/requirements.lock"
fi

run mkdir -p "$archives" "$tools/logs"
# TorchServe also writes to its working directory, so it starts in the folder of logs.
set -- env -C "$tools/logs" "PATH=$root/.venv/bin:$PATH" "PYTHONPATH=$tools:$root/src" python
case $action in
    archive)
        run "$@" "$tools/bin/torch-model-archiver" --model-name "$target" --version 1.0 --force --export-path "$archives" \
            --handler "$root/deploy/torchserve/handler.py" --serialized-file "${MODEL:-$root/models/$target/model.onnx}"
        ;;
    serve)
        run "$@" "$tools/bin/torchserve" --start --foreground --ncs --disable-token-auth --model-store "$archives" \
            --models "$target=$target.mar" --ts-config "${TS_CONFIG:-$root/deploy/torchserve/config.properties}"
        ;;
    *) echo "error: unknown action '$action': use archive or serve" >&2; exit 2 ;;
esac
