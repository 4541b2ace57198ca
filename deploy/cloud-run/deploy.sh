#!/bin/sh
# Deploy the image of a target to Cloud Run: sh deploy/cloud-run/deploy.sh [--dry-run]
set -eu
cd "$(dirname "$0")/../.."
. deploy/common.sh

need PROJECT 'the id of your Google Cloud project' \
    REGION 'where it runs, for instance europe-west4' \
    IMAGE "the image to run, with registry and tag; 'make containerize' makes it, deploy/artifact-registry pushes it" \
    SERVICE_ACCOUNT 'the e-mail address of the service account it runs as, which needs a role only for the secret and the log'

TARGET=${TARGET:-petals}
BITBLOOM_COMMIT=${BITBLOOM_COMMIT:-$(commit)}
if [ -n "${BITBLOOM_LOG:-}" ]; then
    bucket BITBLOOM_LOG 'gs://' # an instance's own files are in its memory
    CPU_THROTTLING=${CPU_THROTTLING:-false} # parts of the log are written between requests
    export BITBLOOM_LOG CPU_THROTTLING
fi
export TARGET BITBLOOM_COMMIT
service=bitbloom-$TARGET

fill deploy/cloud-run/service.yaml "$rendered/cloud-run.yaml"
run gcloud run services replace "$rendered/cloud-run.yaml" "--project=$PROJECT" "--region=$REGION" --quiet
if [ "${PUBLIC:-0}" = 1 ]; then
    run gcloud run services add-iam-policy-binding "$service" "--project=$PROJECT" "--region=$REGION" \
        --member=allUsers --role=roles/run.invoker --quiet
fi
run gcloud run services describe "$service" "--project=$PROJECT" "--region=$REGION" '--format=value(status.url)'
