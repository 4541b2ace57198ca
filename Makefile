# BitBloom: one commit, one set of bytes. `make help` lists what there is.

TARGET ?= petals
TARGETS ?= petals tweets captions
ACCEL ?= cpu
PORT ?= 3000
SET ?=
PHOTOS ?=
TWEETS ?=
CAPTIONS ?=
OWN = $(or $(PHOTOS),$(TWEETS),$(CAPTIONS))
PYTHON ?= python3.11
BACKEND ?= $(if $(shell command -v podman),podman,docker)
IMAGE ?= bitbloom/$(TARGET)
TRAINING_IMAGE ?= bitbloom/training
image_options = --backend '$(BACKEND)' --base-image '$(BASE_IMAGE)' --index '$(INDEX)' $(if $(CA),--ca '$(CA)')

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

BIN := .venv/bin
FAST := -m 'not slow and not realdata and not container and not emulated_cpu and not gpu' --numprocesses logical --dist worksteal
STATE := .bitbloom
VENV_SCRIPTS := scripts/venv.sh scripts/torch_source.sh scripts/project_environment.py
FINDINGS := $(STATE)/ci
BASE ?= origin/main
UPDATED ?= $(notdir $(basename $(wildcard digests/*.json)))
# The image that `make containerize` built last, by its version.
built_image = $$($(BACKEND) images --format '{{.Repository}}:{{.Tag}}' '$(IMAGE)' | grep -v -e ':latest$$' -e '-b[a-z]*$$' | head -1)
# What a service says that it was built from: nothing, while something is not committed.
commit = $${BITBLOOM_COMMIT:-$$([ -n "$$(git status --porcelain 2>&1)" ] || git rev-parse HEAD)}
LOCK := $(if $(filter cuda,$(ACCEL)),requirements-cuda.lock,requirements.lock)
export PYTHON ACCEL
export PATH := $(CURDIR)/$(BIN):$(PATH)

# A build is up to date when its stamp is newer than everything it read and its outputs are there. Asking costs make a few
# milliseconds and no Python. The stamp is as old as the start of its build: a file saved
# while it ran is newer. Its name holds the target, the last stage, the accelerator and the overrides. A build that is killed
# has no stamp, not even the one before it, and the next one in its workspace clears up what it left of dvc.lock.
-include graph.mk
settings = $(strip $(SET) $(if $(filter cuda,$(ACCEL)),numerics=cuda))
overrides_id = $(if $(settings),-$(shell printf '%s' '$(settings)' | sha256sum | cut -c1-12))
stamp = $(STATE)/stamps/$(TARGET)-$(1)-$(ACCEL)$(overrides_id)
workspace = $(if $(settings),$(shell cat $(call stamp,$(1)).workspace 2>/dev/null || echo nowhere)/)
wanted = $(addprefix $(call workspace,$(1)),$(OUTPUTS.$(TARGET).$(1)))
missing = $(filter-out $(wildcard $(call wanted,$(1))),$(call wanted,$(1)))
own_data_changed = $(shell find data/external/$(TARGET) -newer $(call stamp,$(1)) -print -quit 2>/dev/null)
# A build leaves `building` when it is killed. One that still runs has it too, and is not waited for: flock exits with 1 while
# somebody holds the lock.
was_killed = $(if $(wildcard $(call workspace,$(1))$(STATE)/building),$(shell \
	flock -n $(STATE)/build.lock true 2>/dev/null; [ $$? = 1 ] || echo yes))
ask_dvc = $(or $(call missing,$(1)),$(call own_data_changed,$(1)),$(call was_killed,$(1)))
inputs = $(INPUTS.$(TARGET).$(1)) $(LOCK) $(if $(OWN),IMPORT)

define build_rule
$(call stamp,$(1)): $(call inputs,$(1)) $(if $(call ask_dvc,$(1)),FORCE) | $(STATE)/venv-$(ACCEL)
	@mkdir -p $$(@D) && rm -f $$@ && begun=$$$$(mktemp $$@.begun.XXXXXX) \
		&& { bitbloom build $(TARGET) --until $(1) $(settings) $(if $(settings),--where $$@.workspace) || { rm -f $$$$begun; exit 1; }; } \
		&& mv $$$$begun $$@
endef

BUILDS := all ingest validate prepare features train evaluate export package
$(foreach build,$(BUILDS),$(eval $(call build_rule,$(build))))
$(sort $(foreach build,$(BUILDS),$(INPUTS.$(TARGET).$(build)))): ;

##@ Build (TARGET=petals, SET='train.epochs=3', PHOTOS=path, TWEETS=path, CAPTIONS=path, WORKERS=n, ACCEL=cpu|cuda)

.PHONY: all
all: $(call stamp,all) ## Build a target from raw data to a packaged model, and sum up

.PHONY: everything
everything: $(STATE)/venv-$(ACCEL) ## Build all of TARGETS (petals tweets captions): trainings in turn, the rest side by side
	@$(if $(settings),$(error make everything builds what is claimed, so it takes no SET and no ACCEL=cuda: make all takes them))\
		bitbloom build-all $(TARGETS)

.PHONY: data
data: $(call stamp,ingest) ## Get or draw the raw data

.PHONY: validate prepare features train evaluate export package
validate: $(call stamp,validate) ## … and hold it against its expectations
prepare: $(call stamp,prepare) ## … and decode, pack and split it
features: $(call stamp,features) ## … and ask the frozen parts of a model that has some, once
train: $(call stamp,train) ## … and fit the model
evaluate: $(call stamp,evaluate) ## … and measure it: report, figures, model card
export: $(call stamp,export) ## … and write it as ONNX, fp32 and int8
package: $(call stamp,package) ## … and pack the Bento

.PHONY: IMPORT
IMPORT: $(STATE)/venv-$(ACCEL)
	@bitbloom import $(TARGET) '$(OWN)'

##@ Use

.PHONY: serve
serve: $(call stamp,package) ## Serve the target's Bento on PORT (3000), in the foreground
	@bitbloom install $(TARGET) $(settings) >/dev/null
	@echo "http://127.0.0.1:$(PORT)"
	@BITBLOOM_COMMIT=$(commit) exec bentoml serve $(TARGET):latest --host 127.0.0.1 --port $(PORT)

##@ Containers (BACKEND=podman|docker, IMAGE=name, BASE_IMAGE=image, CA=certificates.pem, INDEX=address, WHEELS=folder)

.PHONY: containerize
containerize: $(call stamp,package) ## Build the container image of the target's Bento
	@bitbloom containerize $(TARGET) $(settings) --image '$(IMAGE)' $(image_options)

.PHONY: run-container
run-container: ## Run it on PORT (3000): not as root, read-only, with no capabilities
	@echo "http://127.0.0.1:$(PORT)"
	@exec $(BACKEND) run --rm --read-only --tmpfs /tmp --cap-drop all --security-opt no-new-privileges \
		--health-cmd "python -c \"import urllib.request as r; r.urlopen('http://127.0.0.1:3000/readyz', timeout=2)\"" \
		--env BITBLOOM_TOKEN --publish 127.0.0.1:$(PORT):3000 $(IMAGE):latest

.PHONY: training-image
training-image: $(STATE)/venv-$(ACCEL) ## Build an image that holds this commit and its packages, to train in
	@bitbloom training-image --image '$(TRAINING_IMAGE)' $(image_options) $(if $(WHEELS),--wheels '$(WHEELS)')

##@ Results

.PHONY: optimise
optimise: $(STATE)/venv-$(ACCEL) ## Make int8, bf16, compiled and pruned forms of a classifier, and a table of what each is worth
	@bitbloom optimise $(TARGET) $(settings)

.PHONY: submission
submission: $(call stamp,export) ## Write Kaggle's submission CSV (TARGET=tweets-kaggle)
	@bitbloom submission $(TARGET)

.PHONY: data-docs
data-docs: $(call stamp,ingest) ## Render Great Expectations' Data Docs of the manifest
	@bitbloom data-docs $(TARGET)

.PHONY: weights
weights: $(STATE)/venv-$(ACCEL) ## Get the locked pretrained weights and check them
	@bitbloom weights

.PHONY: targets
targets: $(STATE)/venv-$(ACCEL) ## List the targets
	@bitbloom targets

##@ Check

.PHONY: test
test: $(STATE)/venv-dev ## Run the fast tests, one process a core (PYTEST='-m slow' for others)
	@pytest $(if $(PYTEST),$(PYTEST),$(FAST))

.PHONY: coverage
coverage: $(STATE)/venv-dev ## The fast tests, and the share of src that they run (90 % at least); counting takes nearly as long as the tests
	@pytest $(FAST) --cov --cov-report=term:skip-covered --cov-fail-under=90

.PHONY: test-real
test-real: $(STATE)/venv-dev ## Run the tests on real photos (BITBLOOM_REAL_DATA=folder with flowers.tar)
	@pytest -m realdata -rs

.PHONY: verify
verify: $(STATE)/venv-$(ACCEL) ## Build again without a cache and compare every digest with the claim (STAGE=train: up to there)
	@bitbloom verify $(TARGET) --until $(or $(STAGE),all)

.PHONY: hermetic
hermetic: TARGET = petals-tiny
hermetic: $(STATE)/venv-$(ACCEL) ## Build a target (petals-tiny) stage by stage with declared inputs alone: no network, no environment
	@bitbloom build $(TARGET) && bitbloom hermetic $(TARGET)

.PHONY: lint
lint: $(STATE)/venv-dev ## Style, types, and generated files being current
	@ruff format --check . && ruff check . && mypy && bitbloom graph --check

.PHONY: screenshots
screenshots: $(STATE)/venv-dev ## Take the docs' pictures of the pages, of those of petals, captions and tweets that are built (needs Chromium)
	@BITBLOOM_COMMIT=$(commit) PYTHONPATH=tests python tests/e2e/screenshots.py

.PHONY: bench
bench: $(STATE)/venv-dev ## How hard the garden is, and what a CNN makes of it
	@python benchmarks/garden_difficulty.py
	@python benchmarks/architectures.py

.PHONY: bench-build
bench-build: $(STATE)/venv-dev ## Seconds of a build, cold and after a change: ours beside plain dvc repro and Snakemake
	@bitbloom build petals-tiny && python benchmarks/build.py

.PHONY: bench-numerics
bench-numerics: $(call stamp,prepare) $(STATE)/venv-dev ## What reproducible training costs: the Hugging Face Trainer beside ours
	@python benchmarks/numerics.py

.PHONY: bench-real
bench-real: $(STATE)/venv-dev ## Accuracy on real photos (FLOWERS=flowers.tar), from locked and from random weights
	@python benchmarks/real_photos.py '$(or $(FLOWERS),$(error FLOWERS=path is missing: a folder, tar or zip with one folder a class))'

.PHONY: bench-captions
bench-captions: $(STATE)/venv-dev ## Retrieval and sentences on your photos (CAPTIONS=path), by how many of them were learned from
	@python benchmarks/captions.py '$(or $(CAPTIONS),$(error CAPTIONS=path is missing: photos with COCO's caption JSON))'

.PHONY: bench-tweets
bench-tweets: $(STATE)/venv-dev ## F1 on Kaggle's tweets (TWEETS=train.csv), and texts a second through the service
	@python benchmarks/tweets.py '$(or $(TWEETS),$(error TWEETS=path is missing: Kaggle's train.csv))'

.PHONY: bench-serving
bench-serving: $(call stamp,package) $(STATE)/venv-dev ## Photos a second and waits: our service beside FastAPI, BentoML, LitServe; and what costs
	@python benchmarks/serving.py
	@python benchmarks/serving_costs.py

.PHONY: soak
soak: $(call stamp,package) $(STATE)/venv-dev ## Ten minutes at capacity, then far too much: no answer may be lost, no memory grow
	@python benchmarks/soak.py

##@ Deploy (deploy/README.md; DRY_RUN=1 prints the commands and calls nobody)

.PHONY: deploy-check
deploy-check: $(STATE)/venv-dev ## Hold every manifest of deploy/ against its reader's schema, and the scripts against shellcheck
	@sh deploy/venv.sh deploy/requirements.lock $(STATE)/deploy-venv
	@$(STATE)/deploy-venv/bin/python deploy/validate.py
	@$(STATE)/deploy-venv/bin/shellcheck -x deploy/*.sh deploy/*/*.sh && echo "deploy/*.sh: shellcheck finds nothing"

.PHONY: deploy-cloud-run
deploy-cloud-run: ## Serve the image IMAGE on Cloud Run (PROJECT, REGION, SERVICE_ACCOUNT)
	@TARGET=$(TARGET) sh deploy/cloud-run/deploy.sh

.PHONY: deploy-cloud-functions
deploy-cloud-functions: ## Serve dist/TARGET.bento as a Cloud Function (PROJECT, REGION, SERVICE_ACCOUNT)
	@TARGET=$(TARGET) sh deploy/cloud-functions/deploy.sh

.PHONY: deploy-vertex-ai
deploy-vertex-ai: ## Train on Vertex AI (PROJECT, REGION, BUCKET, SERVICE_ACCOUNT, TRAINING_IMAGE, MORE_MACHINES=n or ACCELERATOR=…)
	@TARGET=$(TARGET) sh deploy/vertex-ai/train.sh

.PHONY: deploy-compute-engine
deploy-compute-engine: ## Run make verify on a VM that ends itself (PROJECT, ZONE, BUCKET, SERVICE_ACCOUNT, SOURCE)
	@TARGET=$(TARGET) sh deploy/compute-engine/verify.sh

.PHONY: deploy-registry
deploy-registry: ## Create a repository of images in Artifact Registry (PROJECT, REGION, REPOSITORY)
	@sh deploy/artifact-registry/create.sh

.PHONY: deploy-push
deploy-push: ## Push an image that was built here (REGISTRY, LOCAL_IMAGE)
	@BACKEND='$(BACKEND)' sh deploy/artifact-registry/push.sh

.PHONY: deploy-cloud-build
deploy-cloud-build: ## Let every push build and push the image (PROJECT, REGION, CONNECTED, REGISTRY, SERVICE_ACCOUNT)
	@TARGET=$(TARGET) sh deploy/cloud-build/trigger.sh

.PHONY: deploy-kubernetes
deploy-kubernetes: ## Serve the image IMAGE on a cluster (CONTEXT, NAMESPACE)
	@TARGET=$(TARGET) sh deploy/kubernetes/apply.sh

.PHONY: deploy-kubernetes-training
deploy-kubernetes-training: ## Train on a cluster with Kubeflow (CONTEXT, NAMESPACE, TRAINING_IMAGE, MORE_MACHINES=n)
	@TARGET=$(TARGET) sh deploy/kubernetes/train.sh

.PHONY: deploy-azure
deploy-azure: ## Serve the image IMAGE as an Azure Container App (RESOURCE_GROUP and others: deploy/azure)
	@TARGET=$(TARGET) sh deploy/azure/deploy.sh

.PHONY: deploy-azure-training
deploy-azure-training: ## Train as a job of Azure Machine Learning (RESOURCE_GROUP, WORKSPACE_NAME, AZURE_COMPUTE, TRAINING_IMAGE)
	@TARGET=$(TARGET) sh deploy/azure/train.sh

.PHONY: deploy-torchserve-archive
deploy-torchserve-archive: $(if $(filter 1,$(DRY_RUN)),,$(call stamp,train) $(STATE)/venv-$(ACCEL)) ## Pack a trained target of photos for TorchServe: dist/TARGET.mar
	@TARGET=$(TARGET) sh deploy/torchserve/archive.sh

.PHONY: deploy-torchserve
deploy-torchserve: ## Serve dist/TARGET.mar with TorchServe (archived upstream; needs Java), in the foreground
	@TARGET=$(TARGET) sh deploy/torchserve/serve.sh

##@ Workflows of GitHub (docs/ci.md; what .github/workflows calls, to be tried here too)

.PHONY: workflows-check
workflows-check: $(STATE)/workflows-venv ## Hold .github/ against GitHub's schema, zizmor and actionlint
	@$(STATE)/workflows-venv/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yaml
	@$(STATE)/workflows-venv/bin/check-jsonschema --builtin-schema vendor.github-actions .github/actions/*/action.yaml
	@$(STATE)/workflows-venv/bin/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	@$(STATE)/workflows-venv/bin/zizmor --offline --quiet --no-progress --min-severity medium .github
	@$(STATE)/workflows-venv/bin/actionlint -shellcheck= -pyflakes= && echo "actionlint finds nothing"

.PHONY: audit
audit: $(STATE)/venv-dev $(STATE)/workflows-venv ## Known vulnerabilities (asks a database over the network) and licences of the locks
	@sed -nE 's/^([A-Za-z0-9._-]+)[^=]*==([^ +]+).*/\1==\2/p' requirements.lock requirements-serve.lock | sort -u > $(STATE)/audited.txt
	@$(STATE)/workflows-venv/bin/pip-licenses --summary --packages $$(sed 's/==.*//' $(STATE)/audited.txt); licences=$$?; \
		$(STATE)/workflows-venv/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off \
		--requirement $(STATE)/audited.txt && exit $$licences

.PHONY: hooks
hooks: $(STATE)/venv-dev ## Install the hooks of .pre-commit-config.yaml into this clone
	@pre-commit install

.PHONY: ci-setup
ci-setup: $(STATE)/venv-dev ## Make the venv of requirements-dev.lock

.PHONY: ci-venv-restored
# A venv that a cache brought under the lock's own hash is current, but older than the files just checked out.
ci-venv-restored: ## Take a .venv that a cache brought for current
	@mkdir -p $(STATE) && touch $(STATE)/venv-cpu $(STATE)/venv-dev

.PHONY: ci-data
ci-data: $(STATE)/venv-dev ## The gate on what changed since BASE (origin/main), with pictures of samples at fault
	@git diff --name-only '$(BASE)...HEAD' > $(STATE)/changed.txt
	@[ -z '$(DVC_PULL)' ] || dvc pull $$(grep '^data/external/.*\.dvc$$' $(STATE)/changed.txt)
	@xargs -d '\n' bitbloom ci data $(FINDINGS)/data < $(STATE)/changed.txt

.PHONY: ci-changed-targets
ci-changed-targets: ## Targets whose dvc.lock differs from BASE's, as a line for $$GITHUB_OUTPUT (needs jq and no venv)
	@git diff --name-only --diff-filter=d '$(BASE)...HEAD' -- 'pipelines/*/dvc.lock' | cut -d / -f 2 \
		| jq -nRr '"targets=" + ([inputs] | tojson)' | tee -a "$${GITHUB_OUTPUT:-/dev/null}"

.PHONY: ci-model
ci-model: $(call stamp,evaluate) ## TARGET beside BASE's (origin/main), which is built too: params, metrics, outputs, plots, by DVC
	@MAKE='$(MAKE)' sh scripts/ci_model.sh '$(BASE)' '$(TARGET)' $(FINDINGS)/model

.PHONY: ci-comment
ci-comment: ## Make text of .bitbloom/ci/comment, and find the pull request that it is for (needs gh and jq, and no venv)
	@python3 src/bitbloom/ci/comment.py $(FINDINGS)/comment $(FINDINGS)/said.md
	@printf '\nOf %s. Pictures and plots: [artifacts of the run](%s).\n' "$$HEAD_SHA" "$$RUN_URL" >> $(FINDINGS)/said.md
	@found=$$(gh api --method GET "repos/$$GITHUB_REPOSITORY/pulls" -f state=open -f "head=$$HEAD") && echo "$$found" \
		| jq -r --arg sha "$$HEAD_SHA" '.[] | select(.head.sha == $$sha) | "number=\(.number)"' | tee -a "$$GITHUB_OUTPUT"

.PHONY: ci-record
ci-record: $(STATE)/venv-$(ACCEL) ## Write down the digests of what `make verify` built, and the CPU
	@bitbloom ci record $(TARGET) $(FINDINGS)/verify

.PHONY: ci-emulated
ci-emulated: $(STATE)/venv-dev ## The tests on an emulated Haswell and an emulated EPYC, with a record of each (needs qemu-user)
	@BITBLOOM_RECORDS=$(CURDIR)/$(FINDINGS)/verify BITBLOOM_MANY_STEPS=1 pytest -m emulated_cpu

.PHONY: compare-digests
compare-digests: $(STATE)/venv-dev ## Compare the records in .bitbloom/ci/records; any two that differ fail, with `bitbloom diff` of their ledgers
	@bitbloom ci compare $(FINDINGS)/records $(FINDINGS)/digests

.PHONY: ci-packages
ci-packages: ## Install Debian's packages that ci-emulated and ci-slow need
	sudo apt-get update -qq && sudo apt-get install -qq -y --no-install-recommends qemu-user strace mmdebstrap \
		debian-archive-keyring podman runc netavark aardvark-dns iptables openjdk-17-jre-headless jq

.PHONY: ci-slow
ci-slow: $(STATE)/venv-dev ## The slow tests and those of containers, as root; none may be skipped for want of a tool
	@sudo env "PATH=$$PATH" BITBLOOM_NO_SKIPS=1 pytest -m '(slow or container) and not browser' \
		--numprocesses logical --dist loadfile --no-loadscope-reorder

.PHONY: ci-nix
ci-nix: ## Check the flake, then build in its development shell
	nix flake check
	nix develop --command make all TARGET=$(TARGET)

.PHONY: ci-push
ci-push: ## Push the image that `make containerize` built (REGISTRY)
	@BACKEND='$(BACKEND)' LOCAL_IMAGE="$(built_image)" sh deploy/artifact-registry/push.sh

.PHONY: ci-deploy
ci-deploy: ## Deploy what ci-push pushed to Cloud Run (REGISTRY, PROJECT, REGION, SERVICE_ACCOUNT)
	@image="$(built_image)"; : "$${image:?no image of $(IMAGE) is here: make containerize}"; \
		TARGET=$(TARGET) IMAGE="$(REGISTRY)/$${image##*/}" sh deploy/cloud-run/deploy.sh

.PHONY: ci-update
# What an update may change, and nothing else of it is taken.
updated = requirements*.lock */requirements.lock pipelines/*/dvc.lock digests/*.json
ci-update: $(STATE)/venv-dev ## Resolve the newest locks, build UPDATED with them, and write patch and report to .bitbloom/ci/update
	@UPGRADE=1 sh scripts/lock.sh
	@git diff --quiet -- requirements.lock || for target in $(UPDATED); do $(MAKE) all TARGET=$$target || exit 1; done
	@mkdir -p $(FINDINGS)/update && git diff --binary HEAD -- $(updated:%='%') > $(FINDINGS)/update/update.patch
	@{ printf 'Versions:\n\n```diff\n'; git diff -U0 HEAD -- '*requirements*.lock' | grep -E '^([+]{3} |[-+][A-Za-z0-9].*==)' | tr -d '\\'; \
		printf '```\n\nOutputs with other bytes:\n\n```text\n'; git diff --stat HEAD -- digests; echo '```'; } > $(FINDINGS)/update/comment.md

.PHONY: ci-take-update
ci-take-update: ## Apply the patch of .bitbloom/ci/update as far as an update may change files, and write what it says (needs no venv)
	@[ ! -s $(FINDINGS)/update/update.patch ] || git apply --index $(updated:%='--include=%') $(FINDINGS)/update/update.patch
	@if git diff --cached --raw | grep -vE '^:[0-7]{6} (100644|000000) '; then echo 'error: more than a plain file' >&2; exit 1; fi
	@git reset --quiet
	@python3 src/bitbloom/ci/comment.py $(FINDINGS)/update $(FINDINGS)/said.md

$(STATE)/workflows-venv: $(STATE)/venv-dev .github/requirements.lock
	@sh deploy/venv.sh .github/requirements.lock $@ && touch $@

##@ Maintain

.PHONY: setup
setup: $(STATE)/venv-$(ACCEL) ## Make .venv from the lock, hashes required

.PHONY: doctor
doctor: ## What this machine has beside what a build needs, and what to do about it; needs no venv
	@python3 scripts/doctor.py

.PHONY: lock
lock: $(STATE)/venv-dev ## Resolve requirements*.in into the four locks, and those of benchmarks and deploy
	@sh scripts/lock.sh

.PHONY: nix-hashes
nix-hashes: ## Download the locked packages with Nix and write their hashes to nix/hashes.json; after make lock
	@sh nix/hashes.sh

.PHONY: graph
graph: $(STATE)/venv-$(ACCEL) ## Generate dvc.yaml, params/ and graph.mk from conf/ and the code
	@bitbloom graph

.PHONY: format
format: $(STATE)/venv-dev ## Format the code
	@ruff format . && ruff check --fix .

.PHONY: clean
clean: ## Remove what a build makes; your own data in data/external stays
	rm -rf data/raw data/processed models dist $(wildcard reports/*/validation.json) $(STATE)/stamps $(STATE)/variants $(STATE)/checkpoints
	[ ! -d reports ] || find reports -mindepth 1 -maxdepth 1 -type d ! -name figures -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## … and the venv, downloads and caches
	rm -rf .venv $(STATE) .pytest_cache .mypy_cache .ruff_cache .hypothesis .dvc/tmp
	@if [ -z "$$(ls data/external/*.dvc 2>/dev/null)" ]; then rm -rf .dvc/cache; else echo "kept .dvc/cache: it holds your imported data"; fi

$(STATE)/venv-cpu $(STATE)/venv-cuda: $(LOCK) pyproject.toml $(VENV_SCRIPTS)
	@sh scripts/venv.sh $(if $(filter-out cuda,$(ACCEL)),$(if $(wildcard $(STATE)/venv-dev),requirements-dev.lock,$(LOCK)),$(LOCK))
	@mkdir -p $(STATE) && rm -f $(STATE)/venv-cuda $(if $(filter cuda,$(ACCEL)),$(STATE)/venv-cpu $(STATE)/venv-dev) && touch $@

$(STATE)/venv-dev: requirements-dev.lock pyproject.toml $(VENV_SCRIPTS)
	@sh scripts/venv.sh requirements-dev.lock
	@mkdir -p $(STATE) && rm -f $(STATE)/venv-* && touch $(STATE)/venv-cpu $@

.PHONY: FORCE
FORCE:

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z][a-zA-Z_-]*:.*## / {printf "  make %-22s %s\n", $$1, $$2}' Makefile
