#!/bin/sh
# Push an image that was built here: sh deploy/artifact-registry/push.sh [--dry-run]
set -eu
cd "$(dirname "$0")/../.."
. deploy/common.sh

need REGISTRY "where to: the repository's address, as create.sh prints it" \
    LOCAL_IMAGE "the image as it is called here, for instance bitbloom/petals:VERSION; 'make containerize' says it"

backend=${BACKEND:-$(if command -v podman >/dev/null; then echo podman; else echo docker; fi)}
remote=$REGISTRY/${LOCAL_IMAGE##*/}
run gcloud auth configure-docker "${REGISTRY%%/*}" --quiet
run "$backend" tag "$LOCAL_IMAGE" "$remote"
run "$backend" push "$remote"
