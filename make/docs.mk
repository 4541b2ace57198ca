# Generated parts of the documentation: figures of builds, diagram of the architecture.

##@ Documentation

.PHONY: figures
figures: ## Write the metrics of built targets into README and docs
	@python3 scripts/figures.py

.PHONY: figures-check
figures-check: ## Check that README and docs quote the metrics of digests/
	@python3 scripts/figures.py --check

.PHONY: diagram
diagram: $(STATE)/venv-$(ACCEL) ## Draw docs/images/architecture.svg from the code
	@python scripts/diagram.py
