#!/bin/sh
# Run the service of a target on a cluster: sh deploy/kubernetes/apply.sh [--dry-run]
set -eu
cd "$(dirname "$0")/../.."
. deploy/common.sh

need CONTEXT "the cluster, as 'kubectl config get-contexts' lists it" \
    NAMESPACE 'the namespace, which exists' \
    IMAGE "the image to run, with registry and tag; 'make containerize' makes it"

TARGET=${TARGET:-petals}
BITBLOOM_COMMIT=${BITBLOOM_COMMIT:-$(commit)}
if [ -n "${BITBLOOM_LOG:-}" ]; then
    bucket BITBLOOM_LOG 'gs://' 's3://' # a pod's own files end with it
fi
export TARGET BITBLOOM_COMMIT
fill deploy/kubernetes/service.yaml "$rendered/kubernetes-service.yaml"
run kubectl "--context=$CONTEXT" "--namespace=$NAMESPACE" apply "--filename=$rendered/kubernetes-service.yaml"
run kubectl "--context=$CONTEXT" "--namespace=$NAMESPACE" rollout status "deployment/bitbloom-$TARGET" --timeout=120s
