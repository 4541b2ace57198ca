#!/bin/sh
# Give the service the right to write the log, and the drift job the right to read it: sh deploy/drift/rights.sh [--dry-run]
# Once for a bucket, as the administrator of the project.
set -eu
cd "$(dirname "$0")/../.."
. deploy/common.sh

need PROJECT 'the id of your Google Cloud project' \
    SERVICE_ACCOUNT 'the e-mail address of the service account of the service' \
    DRIFT_ACCOUNT 'the e-mail address of the service account of the drift job' \
    BITBLOOM_LOG 'the prediction log of the service, gs://bucket/prefix'
bucket BITBLOOM_LOG 'gs://'

role=bitbloomLogWriter
name=${BITBLOOM_LOG#gs://}
name=gs://${name%%/*}

# grant ACCOUNT ROLE: on the bucket alone.
grant() {
    run gcloud storage buckets add-iam-policy-binding "$name" "--project=$PROJECT" "--member=serviceAccount:$1" "--role=$2" --quiet
}

verb=create
if [ "$DRY_RUN" != 1 ]; then
    found=$(gcloud iam roles list "--project=$PROJECT" "--filter=name:roles/$role" '--format=value(name)')
    [ -z "$found" ] || verb=update
fi
# The service writes parts, and lists and deletes old ones. It never reads one.
run gcloud iam roles "$verb" "$role" "--project=$PROJECT" '--title=BitBloom: write a prediction log' \
    --permissions=storage.objects.create,storage.objects.delete,storage.objects.list --quiet
grant "$SERVICE_ACCOUNT" "projects/$PROJECT/roles/$role"
# The job reads the log and the Bento, and writes reports under new names. It deletes and replaces nothing.
grant "$DRIFT_ACCOUNT" roles/storage.objectViewer
grant "$DRIFT_ACCOUNT" roles/storage.objectCreator
