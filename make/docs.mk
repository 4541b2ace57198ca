# The site of the documentation, and generated parts of its pages: figures of builds, diagram of the architecture.

##@ Documentation

.PHONY: docs
docs: $(STATE)/venv-dev ## Build the site of the documentation, site/, to read without a network
	@NO_MKDOCS_2_WARNING=1 mkdocs build --quiet && echo site/index.html

.PHONY: figures
figures: ## Write the metrics of built targets into README and docs
	@python3 scripts/figures.py

.PHONY: figures-check
figures-check: ## Check that README and docs quote the metrics of digests/
	@python3 scripts/figures.py --check

.PHONY: diagram
diagram: $(STATE)/venv-$(ACCEL) ## Draw docs/images/architecture.svg from the code
	@python scripts/diagram.py
