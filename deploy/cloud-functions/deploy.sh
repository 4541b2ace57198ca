#!/bin/sh
# Deploy a target's Bento as a Cloud Function (2nd generation): sh deploy/cloud-functions/deploy.sh [--dry-run]
set -eu
cd "$(dirname "$0")/../.."
. deploy/common.sh

need PROJECT 'the id of your Google Cloud project' \
    REGION 'where it runs, for instance europe-west4' \
    SERVICE_ACCOUNT 'the e-mail address of the service account it runs as, which needs a role only for the secret'

TARGET=${TARGET:-petals}
BITBLOOM_COMMIT=${BITBLOOM_COMMIT:-$(commit)}
access=--no-allow-unauthenticated
[ "${PUBLIC:-0}" != 1 ] || access=--allow-unauthenticated

run sh deploy/cloud-functions/source.sh "dist/$TARGET.bento"
set -- "bitbloom-$TARGET" --gen2 --runtime=python311 --entry-point=handle --trigger-http "$access" \
    --source=.bitbloom/deploy/cloud-functions "--project=$PROJECT" "--region=$REGION" \
    "--run-service-account=$SERVICE_ACCOUNT" "--cpu=${CPU:-1}" "--memory=${MEMORY:-2Gi}" --timeout=60s \
    "--concurrency=${CONCURRENCY:-8}" "--min-instances=${MIN_INSTANCES:-0}" "--max-instances=${MAX_INSTANCES:-4}"
[ -z "$BITBLOOM_COMMIT" ] || set -- "$@" "--set-env-vars=BITBLOOM_COMMIT=$BITBLOOM_COMMIT"
[ -z "${TOKEN_SECRET:-}" ] || set -- "$@" "--set-secrets=BITBLOOM_TOKEN=$TOKEN_SECRET:latest"
run gcloud functions deploy "$@" --quiet
