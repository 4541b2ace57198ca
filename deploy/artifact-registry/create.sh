#!/bin/sh
# Create, once, the repository of images: sh deploy/artifact-registry/create.sh [--dry-run]
set -eu
cd "$(dirname "$0")/../.."
. deploy/common.sh

need PROJECT 'the id of your Google Cloud project' \
    REGION 'where it is, for instance europe-west4' \
    REPOSITORY 'the name of the repository of images'

run gcloud artifacts repositories create "$REPOSITORY" "--project=$PROJECT" "--location=$REGION" --repository-format=docker \
    --immutable-tags
run gcloud artifacts repositories describe "$REPOSITORY" "--project=$PROJECT" "--location=$REGION" '--format=value(registryUri)'
