#!/bin/sh
# Train a target as a job of Azure Machine Learning: sh deploy/azure/train.sh [--dry-run]
set -eu
cd "$(dirname "$0")/../.."
. deploy/common.sh

need RESOURCE_GROUP 'the resource group' \
    WORKSPACE_NAME 'the Azure Machine Learning workspace' \
    AZURE_COMPUTE 'the name of the compute cluster' \
    TRAINING_IMAGE "the image that trains, with registry and tag; 'make training-image' makes it"

TARGET=${TARGET:-petals}
export TARGET
fill deploy/azure/job.yaml "$rendered/azure-job.yaml"
run az ml job create --file "$rendered/azure-job.yaml" --resource-group "$RESOURCE_GROUP" --workspace-name "$WORKSPACE_NAME"
