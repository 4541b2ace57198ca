#!/bin/sh
# Look for a drift once a day, as a Cloud Run job that Cloud Scheduler starts: sh deploy/drift/deploy.sh [--dry-run]
# A second call updates both.
set -eu
cd "$(dirname "$0")/../.."
. deploy/common.sh

need PROJECT 'the id of your Google Cloud project' \
    REGION 'where it runs, for instance europe-west4' \
    TRAINING_IMAGE "the image that trains, with registry and tag; 'make training-image' makes it" \
    DRIFT_ACCOUNT 'the e-mail address of the service account it runs as, which reads the log: deploy/drift/rights.sh' \
    BITBLOOM_LOG 'the prediction log of the service, gs://bucket/prefix'
bucket BITBLOOM_LOG 'gs://'

TARGET=${TARGET:-petals}
export TARGET
job=bitbloom-drift-$TARGET
schedule="${MINUTE:-15} ${HOUR:-5} * * *"

fill deploy/drift/cloud-run.yaml "$rendered/drift-cloud-run.yaml"
run gcloud run jobs replace "$rendered/drift-cloud-run.yaml" "--project=$PROJECT" "--region=$REGION" --quiet
run gcloud run jobs add-iam-policy-binding "$job" "--project=$PROJECT" "--region=$REGION" \
    "--member=serviceAccount:$DRIFT_ACCOUNT" --role=roles/run.invoker --quiet

verb=create
if [ "$DRY_RUN" != 1 ]; then
    found=$(gcloud scheduler jobs list "--project=$PROJECT" "--location=$REGION" "--filter=name:jobs/$job" '--format=value(name)')
    [ -z "$found" ] || verb=update
fi
run gcloud scheduler jobs "$verb" http "$job" "--project=$PROJECT" "--location=$REGION" "--schedule=$schedule" \
    --time-zone=Etc/UTC --http-method=POST "--oauth-service-account-email=$DRIFT_ACCOUNT" \
    "--uri=https://run.googleapis.com/v2/projects/$PROJECT/locations/$REGION/jobs/$job:run" --quiet
