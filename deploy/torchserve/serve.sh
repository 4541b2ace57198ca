#!/bin/sh
# Serve dist/<target>.mar with TorchServe, in the foreground: sh deploy/torchserve/serve.sh [--dry-run]
# TARGET=petals, ARCHIVES=dist, TS_CONFIG=deploy/torchserve/config.properties. Needs Java 11 or later.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=deploy/common.sh
. "$root/deploy/common.sh"

tools=$root/.bitbloom/torchserve-packages
target=${TARGET:-petals}
archives=${ARCHIVES:-$root/dist}
logs=${LOG_LOCATION:-$root/.bitbloom/torchserve-logs}

if [ "$DRY_RUN" != 1 ]; then
    command -v java >/dev/null || { echo "error: java is not here: TorchServe needs version 11 or later" >&2; exit 1; }
    [ -f "$archives/$target.mar" ] || { echo "error: $archives/$target.mar is missing: make deploy-torchserve-archive" >&2; exit 1; }
fi
run mkdir -p "$logs"
# From the folder of logs, because TorchServe also writes where it is started.
set -- env -C "$logs" "PATH=$root/.venv/bin:$PATH" "PYTHONPATH=$tools" "LOG_LOCATION=$logs" "METRICS_LOCATION=$logs" \
    python "$tools/bin/torchserve" --start --foreground --ncs --disable-token-auth --model-store "$archives" \
    --models "$target=$target.mar" --ts-config "${TS_CONFIG:-$root/deploy/torchserve/config.properties}"
[ "$DRY_RUN" != 1 ] || { show "$@"; exit; }
exec "$@" # so that signals reach it
