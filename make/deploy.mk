# Images, and the scripts of deploy/ for clouds and clusters.

TRAINING_IMAGE ?= bitbloom/training

##@ Deploy (deploy/README.md; DRY_RUN=1 prints the commands and calls no cloud)

.PHONY: training-image
training-image: $(STATE)/venv-$(ACCEL) ## Build the training image: this commit and its packages (WHEELS)
	@bitbloom training-image --image '$(TRAINING_IMAGE)' $(image_options) $(if $(WHEELS),--wheels '$(WHEELS)')

.PHONY: deploy-check
deploy-check: $(STATE)/venv-dev ## Check the manifests and scripts: schemas, shellcheck
	@sh deploy/venv.sh deploy/requirements.lock $(STATE)/deploy-venv
	@$(STATE)/deploy-venv/bin/python deploy/validate.py
	@$(STATE)/deploy-venv/bin/shellcheck -x deploy/*.sh deploy/*/*.sh && echo "deploy/*.sh: shellcheck: no errors"

.PHONY: deploy-cloud-run
deploy-cloud-run: ## Serve the image IMAGE on Cloud Run (PROJECT, REGION, SERVICE_ACCOUNT)
	@TARGET=$(TARGET) sh deploy/cloud-run/deploy.sh

.PHONY: deploy-canary
deploy-canary: ## Give a version on Cloud Run a part of the traffic; roll back (VERSION, PERCENT, IMAGE, PROJECT, REGION)
	@TARGET=$(TARGET) sh deploy/cloud-run/canary.sh

.PHONY: deploy-cloud-monitoring
deploy-cloud-monitoring: ## Watch a service with Cloud Monitoring: alerts, uptime check, dashboard (PROJECT, HOST, CHANNEL, PROMETHEUS=1)
	@TARGET=$(TARGET) sh deploy/cloud-monitoring/deploy.sh

.PHONY: deploy-cloud-functions
deploy-cloud-functions: ## Serve dist/TARGET.bento as a Cloud Function (PROJECT, REGION, SERVICE_ACCOUNT)
	@TARGET=$(TARGET) sh deploy/cloud-functions/deploy.sh

.PHONY: deploy-vertex-ai
deploy-vertex-ai: ## Train on Vertex AI (PROJECT, REGION, BUCKET, SERVICE_ACCOUNT, TRAINING_IMAGE, MORE_MACHINES=n or ACCELERATOR=…)
	@TARGET=$(TARGET) sh deploy/vertex-ai/train.sh

.PHONY: deploy-vertex-ai-sweep
deploy-vertex-ai-sweep: ## Search conf/sweep/petals.yaml on Vertex AI (PROJECT, REGION, SERVICE_ACCOUNT, TRAINING_IMAGE)
	@TARGET=$(TARGET) sh deploy/vertex-ai/sweep.sh

.PHONY: deploy-compute-engine
deploy-compute-engine: ## Run make verify on a VM that deletes itself (PROJECT, ZONE, BUCKET, SERVICE_ACCOUNT, SOURCE)
	@TARGET=$(TARGET) sh deploy/compute-engine/verify.sh

.PHONY: deploy-registry
deploy-registry: ## Create a repository of images in Artifact Registry (PROJECT, REGION, REPOSITORY)
	@sh deploy/artifact-registry/create.sh

.PHONY: deploy-push
deploy-push: ## Push a local image (REGISTRY, LOCAL_IMAGE)
	@BACKEND='$(BACKEND)' sh deploy/artifact-registry/push.sh

.PHONY: deploy-cloud-build
deploy-cloud-build: ## Build and push the image on every push (PROJECT, REGION, CONNECTED, REGISTRY, SERVICE_ACCOUNT)
	@TARGET=$(TARGET) sh deploy/cloud-build/trigger.sh

.PHONY: deploy-kubernetes
deploy-kubernetes: ## Serve the image IMAGE on a cluster (CONTEXT, NAMESPACE)
	@TARGET=$(TARGET) sh deploy/kubernetes/apply.sh

.PHONY: deploy-kubernetes-training
deploy-kubernetes-training: ## Train on a cluster with Kubeflow (CONTEXT, NAMESPACE, TRAINING_IMAGE, MORE_MACHINES=n)
	@TARGET=$(TARGET) sh deploy/kubernetes/train.sh

.PHONY: deploy-drift
deploy-drift: ## Look for drift once a day on Cloud Run (PROJECT, REGION, TRAINING_IMAGE, DRIFT_ACCOUNT, BITBLOOM_LOG)
	@TARGET=$(TARGET) sh deploy/drift/deploy.sh

.PHONY: deploy-drift-kubernetes
deploy-drift-kubernetes: ## The same on a cluster (CONTEXT, NAMESPACE, TRAINING_IMAGE, BITBLOOM_LOG)
	@TARGET=$(TARGET) sh deploy/drift/apply.sh

.PHONY: deploy-drift-rights
deploy-drift-rights: ## Give service and drift job their rights to the log's bucket (PROJECT, SERVICE_ACCOUNT, DRIFT_ACCOUNT, BITBLOOM_LOG)
	@sh deploy/drift/rights.sh

.PHONY: deploy-proxy
deploy-proxy: ## Run nginx before a service: TLS, bounds on headers and bodies (UPSTREAM, TLS_CERTIFICATE, …)
	@sh deploy/proxy/proxy.sh

.PHONY: deploy-azure
deploy-azure: ## Serve IMAGE as an Azure Container App (RESOURCE_GROUP, …)
	@TARGET=$(TARGET) sh deploy/azure/deploy.sh

.PHONY: deploy-azure-training
deploy-azure-training: ## Train as a job of Azure Machine Learning (RESOURCE_GROUP, WORKSPACE_NAME, AZURE_COMPUTE, TRAINING_IMAGE)
	@TARGET=$(TARGET) sh deploy/azure/train.sh

.PHONY: deploy-torchserve-archive
deploy-torchserve-archive: $(if $(filter 1,$(DRY_RUN)),,$(call stamp,export)) ## Pack a photo classifier for TorchServe: dist/TARGET.mar
	@TARGET=$(TARGET) sh deploy/torchserve/torchserve.sh archive

.PHONY: deploy-torchserve
deploy-torchserve: ## Serve dist/TARGET.mar with TorchServe (archived; needs Java)
	@TARGET=$(TARGET) sh deploy/torchserve/torchserve.sh serve

.PHONY: hub
hub: $(if $(settings),,$(call stamp,all)) ## Publish TARGET on Hugging Face's hub (REPO=org/name, PRIVATE=1)
	@$(if $(settings),$(error make hub takes no SET and no ACCEL=cuda: it publishes what digests/ names))\
		bitbloom hub push $(TARGET) $(call quoted,$(value REPO)) $(if $(filter 1,$(DRY_RUN)),--dry-run) $(if $(filter 1,$(PRIVATE)),--private)

.PHONY: check-hub
check-hub: $(STATE)/venv-$(ACCEL) ## Compare a published model with digests/ (REPO=org/name@COMMIT, TARGET)
	@bitbloom hub check $(call quoted,$(value REPO)) $(if $(filter-out file,$(origin TARGET)),--target '$(TARGET)')
