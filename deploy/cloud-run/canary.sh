#!/bin/sh
# Give one version of a service PERCENT of the traffic: sh deploy/cloud-run/canary.sh [--dry-run]
# With IMAGE, a new revision of that version is deployed first, without traffic. 100 promotes it; an earlier version with 100 rolls back.
set -eu
cd "$(dirname "$0")/../.."
. deploy/common.sh

need PROJECT 'the id of your Google Cloud project' \
    REGION 'where it runs, for instance europe-west4' \
    VERSION "the version of the Bento, the first 16 digits of its digest: 'promotions/TARGET/record.json' has it" \
    PERCENT 'of the requests that go to this version, 1 to 100'

TARGET=${TARGET:-petals}
service=bitbloom-$TARGET
case $VERSION in
    *[!0-9a-f]*) echo "error: VERSION is '$VERSION': it is not the version of a Bento, which has the digits 0-9 and a-f" >&2; exit 2 ;;
esac
case $PERCENT in
    [1-9] | [1-9][0-9] | 100) ;;
    *) echo "error: PERCENT is '$PERCENT': it has to be 1 to 100" >&2; exit 2 ;;
esac

# A revision is named after the version, so that a digest finds it. Names begin with a letter.
if [ -n "${IMAGE:-}" ]; then
    run gcloud run services update "$service" "--project=$PROJECT" "--region=$REGION" "--image=$IMAGE" \
        "--revision-suffix=v$VERSION" --no-traffic --quiet
fi
run gcloud run services update-traffic "$service" "--project=$PROJECT" "--region=$REGION" \
    "--to-revisions=$service-v$VERSION=$PERCENT" --quiet
