#!/bin/sh
# Look for a drift once a day, as a CronJob of a cluster: sh deploy/drift/apply.sh [--dry-run]
set -eu
cd "$(dirname "$0")/../.."
. deploy/common.sh

need CONTEXT "the cluster, as 'kubectl config get-contexts' lists it" \
    NAMESPACE 'the namespace, which exists' \
    TRAINING_IMAGE "the image that trains, with registry and tag; 'make training-image' makes it" \
    BITBLOOM_LOG 'the prediction log of the service, gs://bucket/prefix or s3://bucket/prefix'
bucket BITBLOOM_LOG 'gs://' 's3://'

TARGET=${TARGET:-petals}
export TARGET
fill deploy/drift/kubernetes.yaml "$rendered/drift-kubernetes.yaml"
run kubectl "--context=$CONTEXT" "--namespace=$NAMESPACE" apply "--filename=$rendered/drift-kubernetes.yaml"
