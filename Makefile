# BitBloom: one commit, one set of bytes. `make help` lists the main commands, `make help-all` every target.
#
# This file has the commands of users: Build, Use, Check, Maintain. The rest is in make/:
#   make/venv.mk    the venv of the lock
#   make/build.mk   stamps, which tell whether a build is up to date
#   make/data.mk    the remote
#   make/audit.mk   wrong labels
#   make/bench.mk   benchmarks
#   make/experiments.mk  searches, comparisons, profiles
#   make/versions.mk  differences and profiles of data
#   make/monitor.mk  drift, monitoring, retraining
#   make/docs.mk    figures and diagram of the documentation
#   make/deploy.mk  clouds and clusters
#   make/ci.mk      targets of GitHub's workflows
#   make/help.awk   prints the help from the `##` comments

# Parameters of a build: make all TARGET=petals-folder PHOTOS=path SET='train.epochs=3'
TARGET ?= petals
TARGETS ?=
SET ?=
PHOTOS ?=
TWEETS ?=
CAPTIONS ?=
# A path may hold any character: `value` does not expand a `$`, and `quoted` makes one word of the shell.
OWN = $(or $(value PHOTOS),$(value TWEETS),$(value CAPTIONS))
quoted = '$(subst ','\'',$(1))'
unexport PHOTOS TWEETS CAPTIONS
ACCEL ?= cpu
PYTHON ?=

# Port of the service, parameters of its image
PORT ?= 3000
require_free_port = @$$(command -v python3 || echo python) scripts/free_port.py '$(PORT)'
BACKEND ?= $(if $(shell command -v podman),podman,docker)
IMAGE ?= bitbloom/$(TARGET)
image_options = --backend '$(BACKEND)' --base-image '$(BASE_IMAGE)' --index '$(INDEX)' $(if $(CA),--ca '$(CA)')
# The commit that a service reports: empty while the working tree has changes.
commit = $${BITBLOOM_COMMIT:-$$([ -n "$$(git status --porcelain 2>&1)" ] || git rev-parse HEAD)}

STATE := .bitbloom
FAST := --numprocesses logical --dist worksteal

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

# The files with merge conflicts among these: make itself cannot read one.
conflicted = $(strip $(foreach file,$(1),$(if $(strip $(foreach marker,<<<<<<< ======= >>>>>>>,$(filter $(marker),$(file < $(file))))),$(file))))
unreadable := $(call conflicted,$(wildcard make/*.mk))
$(if $(unreadable),$(error $(unreadable): merge conflict: edit this file, then git add it))

include make/venv.mk make/build.mk

##@ Build (TARGET=petals, PHOTOS|TWEETS|CAPTIONS=path, SET='train.epochs=3', WORKERS=n, ACCEL=cpu|cuda)

.PHONY: all
all: $(call stamp,all) ## Build TARGET: from raw data to a packaged model

.PHONY: everything
everything: $(STATE)/venv-$(ACCEL) ## Build TARGETS (default: the embedded ones), partly in parallel
	@$(if $(settings),$(error make everything takes no SET and no ACCEL=cuda: use make all))\
		bitbloom build-all $(TARGETS)

.PHONY: data
data: $(call stamp,ingest) ## Download, copy or generate the raw data

.PHONY: validate prepare features train evaluate export package
validate: $(call stamp,validate) ## … then check it against its expectations
prepare: $(call stamp,prepare) ## … then decode, pack and split it
features: $(call stamp,features) ## … then run the frozen feature extractors, if any
train: $(call stamp,train) ## … then train the model
evaluate: $(call stamp,evaluate) ## … then evaluate it: report, figures, model card
export: $(call stamp,export) ## … then export it to ONNX, fp32 and int8
package: $(call stamp,package) ## … then package it as a Bento

.PHONY: targets
targets: $(STATE)/venv-$(ACCEL) ## List the targets
	@bitbloom targets

.PHONY: weights
weights: $(STATE)/venv-$(ACCEL) ## Install the locked pretrained weights and verify them
	@bitbloom weights

##@ Use (BACKEND=podman|docker, IMAGE, BASE_IMAGE, CA, INDEX: docs/serving.md)

.PHONY: serve
serve: $(call stamp,package) ## Serve the Bento on PORT (3000), in the foreground
	$(require_free_port)
	@bitbloom install $(TARGET) $(settings) >/dev/null
	@echo "http://127.0.0.1:$(PORT)"
	@BITBLOOM_COMMIT=$(commit) exec bentoml serve $(TARGET):latest --host 127.0.0.1 --port $(PORT)

.PHONY: containerize
containerize: $(call stamp,package) ## Build the container image of the Bento
	@bitbloom containerize $(TARGET) $(settings) --image '$(IMAGE)' $(image_options)

.PHONY: run-container
run-container: ## Run the image on PORT (3000): read-only, not as root, no capabilities
	$(require_free_port)
	@echo "http://127.0.0.1:$(PORT)"
	@exec $(BACKEND) run --rm --read-only --tmpfs /tmp --cap-drop all --security-opt no-new-privileges \
		--health-cmd "python -c \"import urllib.request as r; r.urlopen('http://127.0.0.1:3000/readyz', timeout=2)\"" \
		--env BITBLOOM_TOKEN --publish 127.0.0.1:$(PORT):3000 $(IMAGE):latest

.PHONY: submission
submission: $(call stamp,export) ## Write the submission CSV of a competition of Kaggle
	@bitbloom submission $(TARGET)

.PHONY: data-docs
data-docs: $(call stamp,ingest) ## Render Great Expectations' Data Docs of the manifest
	@bitbloom data-docs $(TARGET)

.PHONY: optimise
optimise: $(STATE)/venv-$(ACCEL) ## Make and compare int8, bf16, compiled and pruned variants
	@bitbloom optimise $(TARGET) $(settings)

##@ Check

.PHONY: test
test: $(STATE)/venv-dev ## Run the fast tests (PYTEST='-m slow': the slow ones)
	@pytest $(if $(PYTEST),$(PYTEST),$(FAST))

.PHONY: coverage
coverage: $(STATE)/venv-dev ## Run the fast tests and measure coverage of src (at least 90%)
	@pytest $(FAST) --cov --cov-report=term:skip-covered --cov-fail-under=90

.PHONY: test-real
test-real: $(STATE)/venv-dev ## Run the tests on real photos (BITBLOOM_REAL_DATA=folder)
	@pytest -m realdata -rs

.PHONY: lint
lint: $(STATE)/venv-dev ## Check style, types, imports, words and generated files
	@ruff format --check . && ruff check . && mypy && lint-imports --no-cache --no-logo \
		&& pytest tests/pipeline/test_rooms.py && bitbloom graph --check \
		&& python scripts/figures.py --check && python scripts/robustness.py --check && python scripts/report_figures --check && python scripts/diagram.py --check \
		&& python scripts/checklist.py && python scripts/export_lock.py --check \
		&& git ls-files -z | xargs -0 codespell && python scripts/style.py

.PHONY: format
format: $(STATE)/venv-dev ## Format the code
	@ruff format . && ruff check --fix .

.PHONY: verify
verify: $(STATE)/venv-$(ACCEL) ## Rebuild and compare the digests (STAGE=train, SWEEP)
	@bitbloom $(if $(SWEEP),sweep verify '$(SWEEP)' $(if $(TRIAL),--trial $(TRIAL)),verify $(TARGET) --until $(or $(STAGE),all))

.PHONY: hermetic
hermetic: TARGET = petals-tiny
hermetic: $(STATE)/venv-$(ACCEL) ## Build petals-tiny with only the declared inputs, without network
	@bitbloom build $(TARGET) && bitbloom hermetic $(TARGET)

.PHONY: screenshots
screenshots: $(STATE)/venv-dev ## Renew the screenshots in docs/images (needs Chromium)
	@BITBLOOM_COMMIT=$(commit) PYTHONPATH=tests python tests/e2e/screenshots.py

##@ Maintain

.PHONY: setup
setup: $(STATE)/venv-$(ACCEL) ## Make .venv from the lock, hashes required

.PHONY: doctor
doctor: ## Check the requirements of a build on this machine
	@$$(command -v python3 || sh scripts/python.sh) scripts/doctor.py

.PHONY: lock
lock: $(STATE)/venv-dev ## Resolve requirements*.in into the locks
	@sh scripts/lock.sh

.PHONY: nix-hashes
nix-hashes: ## Write nix/hashes.json with Nix; after make lock
	@sh nix/hashes.sh

.PHONY: graph
graph: $(STATE)/venv-$(ACCEL) ## Generate pipelines/ and params/ from conf/ and the code
	@bitbloom graph

.PHONY: merge
merge: $(STATE)/venv-$(ACCEL) ## Resolve merge conflicts of generated files (SIDE=ours|theirs)
	@bitbloom merge $(if $(SIDE),--side $(SIDE))

.PHONY: hooks
hooks: $(STATE)/venv-dev ## Install the hooks of .pre-commit-config.yaml into this clone
	@pre-commit install

# The folders of the outputs of all targets, beside reports/: a test compares them with the graph.
MADE := data/raw data/processed data/features models dist

.PHONY: clean
clean: ## Remove the outputs of builds; keep your own data
	rm -rf $(MADE) $(addprefix $(STATE)/,stamps graph variants checkpoints verify)
	[ ! -d reports ] || find reports -mindepth 1 -maxdepth 1 -type d ! -name figures -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## … and the venv, downloads and caches
	rm -rf .venv $(STATE) site .pytest_cache .mypy_cache .ruff_cache .hypothesis .dvc/tmp
	@if [ -z "$$(ls data/external/*.dvc 2>/dev/null)" ]; then rm -rf .dvc/cache; else echo "kept .dvc/cache: it holds your imported data"; fi

include make/data.mk make/versions.mk make/audit.mk make/bench.mk make/experiments.mk make/monitor.mk make/docs.mk make/deploy.mk make/ci.mk

# The main commands, in the order of the sections.
FIRST := all data validate prepare features train evaluate export package targets serve containerize test lint verify \
	setup doctor clean
documented = $(filter Makefile make/%.mk,$(MAKEFILE_LIST))

.PHONY: help
help: ## List the main commands
	@awk -v columns=80 -v only='$(FIRST)' -f make/help.awk $(documented)
	@echo '`make help-all` lists the rest.'

.PHONY: help-all
help-all: ## List every target, by section
	@awk -v columns=100 -f make/help.awk $(documented)
