#!/bin/sh
# Create a trigger: each push to a branch builds and pushes the image of a target: sh deploy/cloud-build/trigger.sh [--dry-run]
set -eu
cd "$(dirname "$0")/../.."
. deploy/common.sh

need PROJECT 'the id of your Google Cloud project' \
    REGION 'where it runs, for instance europe-west4' \
    CONNECTED "the repository as it is connected to Cloud Build, projects/…/connections/…/repositories/…" \
    REGISTRY "the address of the repository of images, as deploy/artifact-registry/create.sh prints it" \
    SERVICE_ACCOUNT 'the e-mail address of the service account that builds'

TARGET=${TARGET:-petals}
run gcloud builds triggers create github "--project=$PROJECT" "--region=$REGION" "--name=bitbloom-$TARGET" \
    "--repository=$CONNECTED" "--branch-pattern=${BRANCH:-^main\$}" --build-config=deploy/cloud-build/cloudbuild.yaml \
    "--service-account=projects/$PROJECT/serviceAccounts/$SERVICE_ACCOUNT" "--substitutions=_TARGET=$TARGET,_REGISTRY=$REGISTRY"
