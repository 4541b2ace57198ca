#!/bin/sh
# Search the space of conf/sweep/petals.yaml on Vertex AI: sh deploy/vertex-ai/sweep.sh [--dry-run]
set -eu
cd "$(dirname "$0")/../.."
. deploy/common.sh

need PROJECT 'the id of your Google Cloud project' \
    REGION 'where it runs, for instance europe-west4' \
    TRAINING_IMAGE "the image that trains, with registry and tag; 'make training-image' makes it" \
    SERVICE_ACCOUNT 'the e-mail address of the service account it runs as'

TARGET=${TARGET:-petals}
export TARGET

fill deploy/vertex-ai/sweep.yaml "$rendered/vertex-ai-sweep.yaml"
run gcloud ai hp-tuning-jobs create "--project=$PROJECT" "--region=$REGION" "--display-name=bitbloom-sweep-$TARGET" \
    "--max-trial-count=${TRIALS:-24}" "--parallel-trial-count=${PARALLEL:-6}" "--config=$rendered/vertex-ai-sweep.yaml"
