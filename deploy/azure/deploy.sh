#!/bin/sh
# Serve the image of a target as an Azure Container App: sh deploy/azure/deploy.sh [--dry-run]
set -eu
cd "$(dirname "$0")/../.."
. deploy/common.sh

need RESOURCE_GROUP 'the resource group' \
    LOCATION 'where it runs, for instance westeurope' \
    IMAGE "the image to run, with registry and tag; 'make containerize' makes it" \
    AZURE_ENVIRONMENT_ID 'the resource id of the Container Apps environment' \
    AZURE_IDENTITY_ID 'the resource id of the user-assigned identity that may pull the image and read the secret'

TARGET=${TARGET:-petals}
BITBLOOM_COMMIT=${BITBLOOM_COMMIT:-$(commit)}
REGISTRY_HOST=${IMAGE%%/*}
export TARGET BITBLOOM_COMMIT REGISTRY_HOST
fill deploy/azure/container-app.yaml "$rendered/container-app.yaml"
run az containerapp create --name "bitbloom-$TARGET" --resource-group "$RESOURCE_GROUP" --yaml "$rendered/container-app.yaml"
run az containerapp show --name "bitbloom-$TARGET" --resource-group "$RESOURCE_GROUP" --query properties.configuration.ingress.fqdn --output tsv
