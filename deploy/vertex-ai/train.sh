#!/bin/sh
# Train a target as a custom job of Vertex AI: sh deploy/vertex-ai/train.sh [--dry-run]
set -eu
cd "$(dirname "$0")/../.."
. deploy/common.sh

need PROJECT 'the id of your Google Cloud project' \
    REGION 'where it runs, for instance europe-west4' \
    BUCKET 'the bucket that the model is copied to, without gs://' \
    TRAINING_IMAGE "the image that trains, with registry and tag; 'make training-image' makes it" \
    SERVICE_ACCOUNT 'the e-mail address of the service account it runs as, which may write to the bucket'

TARGET=${TARGET:-petals}
[ -z "${REMOTE:-}" ] || bucket REMOTE 'gs://'
BITBLOOM_COMMIT=${BITBLOOM_COMMIT:-$(commit)}
RUN=${RUN:-$(printf '%.12s' "${BITBLOOM_COMMIT:-changed}")} # equal commits give equal models, so they share a folder
export TARGET RUN
template=deploy/vertex-ai/job.yaml
[ -z "${ACCELERATOR:-}" ] || template=deploy/vertex-ai/job-gpu.yaml

fill "$template" "$rendered/vertex-ai.yaml"
run gcloud ai custom-jobs create "--project=$PROJECT" "--region=$REGION" "--display-name=bitbloom-$TARGET-$RUN" \
    "--config=$rendered/vertex-ai.yaml"
