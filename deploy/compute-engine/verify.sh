#!/bin/sh
# Rebuild a target on a VM that uploads its digests and shuts down: sh deploy/compute-engine/verify.sh [--dry-run]
# With REMOTE, it trains with the data of a DVC remote, and pushes model, reports and records of runs to it.
set -eu
cd "$(dirname "$0")/../.."
. deploy/common.sh

BITBLOOM_COMMIT=${BITBLOOM_COMMIT:-$(commit)}
need PROJECT 'the id of your Google Cloud project' \
    ZONE 'where it runs, for instance europe-west4-a' \
    BUCKET 'the bucket that the digests are uploaded to, without gs://' \
    SOURCE 'the address that the VM clones this repository from, readable without a key' \
    SERVICE_ACCOUNT 'the e-mail address of the service account it runs as, which may create objects in the bucket' \
    BITBLOOM_COMMIT 'the commit to rebuild (the working tree has changes, so no commit has them)'

TARGET=${TARGET:-petals}
[ -z "${REMOTE:-}" ] || bucket REMOTE 'gs://'
name=${NAME:-bitbloom-$([ -z "${REMOTE:-}" ] && echo verify || echo train)-$TARGET-$(printf '%.8s' "$BITBLOOM_COMMIT")}

# If the script fails to shut the VM down, Compute Engine deletes it after MAX_DURATION.
run gcloud compute instances create "$name" "--project=$PROJECT" "--zone=$ZONE" \
    "--machine-type=${MACHINE:-n2-standard-8}" "--image-family=${IMAGE_FAMILY:-debian-12}" "--image-project=${IMAGE_PROJECT:-debian-cloud}" \
    --boot-disk-size=50GB "--service-account=$SERVICE_ACCOUNT" --scopes=storage-rw \
    --shielded-secure-boot "--provisioning-model=${PROVISIONING:-STANDARD}" --instance-termination-action=DELETE "--max-run-duration=${MAX_DURATION:-2h}" \
    "--metadata=bitbloom-commit=$BITBLOOM_COMMIT,bitbloom-source=$SOURCE,bitbloom-target=$TARGET,bitbloom-bucket=$BUCKET${REMOTE:+,bitbloom-remote=$REMOTE}" \
    --metadata-from-file=startup-script=deploy/compute-engine/startup.sh
