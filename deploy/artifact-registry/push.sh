#!/bin/sh
# Push a local image: sh deploy/artifact-registry/push.sh [--dry-run]
set -eu
cd "$(dirname "$0")/../.."
. deploy/common.sh

need REGISTRY "the repository's address, as create.sh prints it" \
    LOCAL_IMAGE "the local name of the image, for instance bitbloom/petals:VERSION; 'make containerize' prints it"

backend=${BACKEND:-$(if command -v podman >/dev/null; then echo podman; else echo docker; fi)}
remote=$REGISTRY/${LOCAL_IMAGE##*/}
run gcloud auth configure-docker "${REGISTRY%%/*}" --quiet
run "$backend" tag "$LOCAL_IMAGE" "$remote"
run "$backend" push "$remote"
