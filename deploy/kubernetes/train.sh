#!/bin/sh
# Train a target on a cluster that has Kubeflow's training operator: sh deploy/kubernetes/train.sh [--dry-run]
set -eu
cd "$(dirname "$0")/../.."
. deploy/common.sh

need CONTEXT "the cluster, as 'kubectl config get-contexts' lists it" \
    NAMESPACE 'the namespace, which exists' \
    TRAINING_IMAGE "the image that trains, with registry and tag; 'make training-image' makes it"

TARGET=${TARGET:-petals}
[ -z "${REMOTE:-}" ] || bucket REMOTE 'gs://'
export TARGET
fill deploy/kubernetes/training.yaml "$rendered/kubernetes-training.yaml"
run kubectl "--context=$CONTEXT" "--namespace=$NAMESPACE" apply "--filename=$rendered/kubernetes-training.yaml"
