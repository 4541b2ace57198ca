# Targets of .github/workflows. Every step of a workflow calls a target of this file or of the Makefile, so each step also runs
# locally: docs/ci.md.

FINDINGS := $(STATE)/ci
BASE ?= origin/main
UPDATED ?= $(notdir $(basename $(wildcard digests/*.json)))
# The image that `make containerize` built last, with its version.
built_image = $$($(BACKEND) images --format '{{.Repository}}:{{.Tag}}' '$(IMAGE)' | grep -v -e ':latest$$' -e '-b[a-z]*$$' | head -1)

##@ Workflows of GitHub (docs/ci.md)

.PHONY: workflows-check
workflows-check: $(STATE)/workflows-venv ## Check .github/ with GitHub's schema, zizmor and actionlint
	@$(STATE)/workflows-venv/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yaml
	@$(STATE)/workflows-venv/bin/check-jsonschema --builtin-schema vendor.github-actions .github/actions/*/action.yaml
	@$(STATE)/workflows-venv/bin/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	@$(STATE)/workflows-venv/bin/zizmor --offline --quiet --no-progress --min-severity medium .github
	@$(STATE)/workflows-venv/bin/actionlint -shellcheck= -pyflakes= && echo "actionlint: no errors"

.PHONY: audit
audit: $(STATE)/venv-dev $(STATE)/workflows-venv ## Check licences and known vulnerabilities (needs the network)
	@sed -nE 's/^([A-Za-z0-9._-]+)[^=]*==([^ +]+).*/\1==\2/p' requirements.lock requirements-serve.lock | sort -u > $(STATE)/audited.txt
	@$(STATE)/workflows-venv/bin/pip-licenses --summary --packages $$(sed 's/==.*//' $(STATE)/audited.txt); licences=$$?; \
		$(STATE)/workflows-venv/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off \
		--requirement $(STATE)/audited.txt && exit $$licences

.PHONY: ci-setup
ci-setup: $(STATE)/venv-dev ## Make the venv of requirements-dev.lock

.PHONY: ci-venv-restored
# The cache's key is the hash of the lock, so a restored venv is current, although older than the files of the checkout.
ci-venv-restored: ## Mark a .venv restored from a cache as current
	@mkdir -p $(STATE) && touch $(STATE)/venv-cpu $(STATE)/venv-dev

.PHONY: ci-data
ci-data: $(STATE)/venv-dev ## Validate the data changed since BASE; list failing and changed samples
	@git diff --name-only '$(BASE)...HEAD' > $(STATE)/changed.txt
	@[ -z '$(DVC_PULL)' ] || dvc pull $$(grep '^data/external/.*\.dvc$$' $(STATE)/changed.txt)
	@xargs -d '\n' bitbloom ci data --base "$$(git merge-base '$(BASE)' HEAD)" $(FINDINGS)/data < $(STATE)/changed.txt

.PHONY: ci-changed-targets
ci-changed-targets: ## List the targets whose dvc.lock differs from BASE's; needs no venv
	@git diff --name-only --diff-filter=d '$(BASE)...HEAD' -- 'pipelines/*/dvc.lock' | cut -d / -f 2 \
		| jq -nRr '"targets=" + ([inputs] | tojson)' | tee -a "$${GITHUB_OUTPUT:-/dev/null}"

.PHONY: ci-model
ci-model: $(call stamp,evaluate) ## Compare TARGET with BASE's build: params, metrics, outputs, plots
	@sh scripts/ci_model.sh '$(BASE)' '$(TARGET)' $(FINDINGS)/model

.PHONY: ci-comment
ci-comment: ## Write the comment on a run, and find its pull request; needs gh, no venv
	@mkdir -p $(FINDINGS) && python3 src/bitbloom/ci/comment.py $(FINDINGS)/comment $(FINDINGS)/comment.md
	@[ ! -s $(FINDINGS)/comment.md ] || gh api --method GET "repos/$$GITHUB_REPOSITORY/pulls" -f state=open -f "head=$$HEAD" \
		--jq 'map({number, sha: .head.sha})' > $(FINDINGS)/pulls.json
	@[ ! -s $(FINDINGS)/comment.md ] || jq -r --arg sha "$$HEAD_SHA" 'map(select(.sha == $$sha))[0].number // empty | "number=\(.)"' \
		$(FINDINGS)/pulls.json | tee -a "$$GITHUB_OUTPUT"
	@[ ! -s $(FINDINGS)/comment.md ] || printf '\nOf %s. Pictures and plots: [artifacts of the run](%s).\n' "$$HEAD_SHA" "$$RUN_URL" \
		>> $(FINDINGS)/comment.md

.PHONY: ci-record
ci-record: $(STATE)/venv-$(ACCEL) ## Record the CPU and the digests of what make verify built
	@bitbloom ci record $(TARGET) $(FINDINGS)/verify

.PHONY: ci-emulated
ci-emulated: $(STATE)/venv-dev ## Run the tests on emulated CPUs, with records (needs qemu-user)
	@BITBLOOM_RECORDS=$(CURDIR)/$(FINDINGS)/verify BITBLOOM_MANY_STEPS=1 pytest -m emulated_cpu

.PHONY: compare-digests
compare-digests: $(STATE)/venv-dev ## Compare the records in .bitbloom/ci/records; fail on a difference
	@bitbloom ci compare $(FINDINGS)/records $(FINDINGS)/digests

.PHONY: ci-packages
ci-packages: ## Install the Debian packages that ci-emulated and ci-slow need
	sudo apt-get update -qq && sudo apt-get install -qq -y --no-install-recommends qemu-user strace mmdebstrap \
		debian-archive-keyring podman runc netavark aardvark-dns iptables openjdk-17-jre-headless jq nginx-light \
		prometheus prometheus-alertmanager

.PHONY: ci-slow
ci-slow: $(STATE)/venv-dev ## Run the slow and container tests as root, without skips
	@sudo env "PATH=$$PATH" BITBLOOM_NO_SKIPS=1 pytest -m '(slow or container) and not browser' \
		--numprocesses logical --dist loadfile --no-loadscope-reorder

.PHONY: ci-nix
ci-nix: ## Check the flake, then build in its development shell
	nix flake check
	nix develop --command make all TARGET=$(TARGET)

.PHONY: ci-push
ci-push: ## Push the image that make containerize built (REGISTRY)
	@BACKEND='$(BACKEND)' LOCAL_IMAGE="$(built_image)" sh deploy/artifact-registry/push.sh

.PHONY: ci-deploy
ci-deploy: ## Deploy the image that ci-push pushed to Cloud Run (REGISTRY, PROJECT, REGION, SERVICE_ACCOUNT)
	@image="$(built_image)"; : "$${image:?no image of $(IMAGE) is here: make containerize}"; \
		TARGET=$(TARGET) IMAGE="$(REGISTRY)/$${image##*/}" sh deploy/cloud-run/deploy.sh

# The files that an update may change.
updated = requirements*.lock requirements.txt */requirements.lock pipelines/*/dvc.lock digests/*.json

.PHONY: ci-update
ci-update: $(STATE)/venv-dev ## Update the locks, build UPDATED with them, write a patch and a report
	@UPGRADE=1 sh scripts/lock.sh
	@git diff --quiet -- requirements.lock || for target in $(UPDATED); do $(MAKE) all TARGET=$$target || exit 1; done
	@mkdir -p $(FINDINGS)/update && git diff --binary HEAD -- $(updated:%='%') > $(FINDINGS)/update/update.patch
	@{ printf 'Versions:\n\n```diff\n'; git diff -U0 HEAD -- '*requirements*.lock' | grep -E '^([+]{3} |[-+][A-Za-z0-9].*==)' | tr -d '\\'; \
		printf '```\n\nOutputs with other bytes:\n\n```text\n'; git diff --stat HEAD -- digests; echo '```'; } > $(FINDINGS)/update/comment.md

.PHONY: ci-take-update
ci-take-update: ## Apply the patch of ci-update to locks and digests only; needs no venv
	@[ ! -s $(FINDINGS)/update/update.patch ] || git apply --index $(updated:%='--include=%') $(FINDINGS)/update/update.patch
	@if git diff --cached --raw | grep -vE '^:[0-7]{6} (100644|000000) '; then echo 'error: more than plain files' >&2; exit 1; fi
	@git reset --quiet
	@python3 src/bitbloom/ci/comment.py $(FINDINGS)/update $(FINDINGS)/comment.md

$(STATE)/workflows-venv: $(STATE)/venv-dev .github/requirements.lock
	@sh deploy/venv.sh .github/requirements.lock $@ && touch $@
