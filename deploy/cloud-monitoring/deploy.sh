#!/bin/sh
# Watch a service on Cloud Run with Cloud Monitoring: sh deploy/cloud-monitoring/deploy.sh [--dry-run]
# Alert policies, an uptime check and a dashboard. A second call updates them, by their names.
set -eu
cd "$(dirname "$0")/../.."
. deploy/common.sh

need PROJECT 'the id of your Google Cloud project' \
    HOST "the host of the service, without https://: 'gcloud run services describe' prints its address"

TARGET=${TARGET:-petals}
export TARGET
api=https://monitoring.googleapis.com/v3
policies='errors latency memory down drift-job'
[ "${PROMETHEUS:-0}" != 1 ] || policies="$policies model"

# existing COMMAND …: print the name of the object that a command of gcloud lists; nothing in a dry run.
existing() {
    [ "$DRY_RUN" = 1 ] || "$@" "--project=$PROJECT" '--format=value(name)' | head -n 1
}

fill deploy/cloud-monitoring/uptime.json "$rendered/uptime.json"
method=POST address=$api/projects/$PROJECT/uptimeCheckConfigs
name=$(existing gcloud monitoring uptime list-configs "--filter=displayName=\"BitBloom $TARGET: ready\"")
[ -z "$name" ] || method=PATCH address=$api/$name
if [ "$DRY_RUN" != 1 ]; then
    (umask 077 && printf 'Authorization: Bearer %s\n' "$(gcloud auth print-access-token)" > "$rendered/header")
    trap 'rm -f "$rendered/header"' EXIT
fi
# gcloud takes no file for an uptime check, so it goes to the API itself; the header has the token of `gcloud auth print-access-token`.
run curl --silent --show-error --fail-with-body --request "$method" --header "@$rendered/header" \
    --header 'Content-Type: application/json' --data "@$rendered/uptime.json" "$address"

for policy in $policies; do
    file=$rendered/alert-$policy.yaml
    fill "deploy/cloud-monitoring/alert-$policy.yaml" "$file"
    title=$(sed -n 's/^displayName: "\(.*\)"$/\1/p' "$file")
    name=$(existing gcloud alpha monitoring policies list "--filter=displayName=\"$title\"")
    if [ -n "$name" ]; then
        run gcloud alpha monitoring policies update "$name" "--policy-from-file=$file" "--project=$PROJECT" --quiet
    else
        run gcloud alpha monitoring policies create "--policy-from-file=$file" "--project=$PROJECT" --quiet
    fi
done

file=$rendered/dashboard.yaml
fill deploy/cloud-monitoring/dashboard.yaml "$file"
name=$(existing gcloud monitoring dashboards list "--filter=displayName=\"BitBloom $TARGET\"")
if [ -n "$name" ]; then
    run gcloud monitoring dashboards delete "$name" "--project=$PROJECT" --quiet
fi
run gcloud monitoring dashboards create "--config-from-file=$file" "--project=$PROJECT" --quiet
