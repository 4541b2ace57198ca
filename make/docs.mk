# Generated parts of the documentation: figures of builds, diagram of the architecture, pictures of the exam report.

##@ Documentation

.PHONY: figures
figures: $(STATE)/venv-dev ## Write metrics of builds into the docs; draw reports/figures
	@python scripts/figures.py
	@PYTHONPATH=tests python scripts/report_figures

.PHONY: figures-check
figures-check: ## Check the quoted metrics, and reports/figures
	@python3 scripts/figures.py --check
	@python3 scripts/report_figures --check

.PHONY: diagram
diagram: $(STATE)/venv-$(ACCEL) ## Draw docs/images/architecture.svg from the code
	@python scripts/diagram.py

.PHONY: report
report: $(STATE)/venv-dev ## Write the page of the exam report; check its limits and claims
	@python reports/report.py html
	@python reports/report.py check --strict

.PHONY: checklist
checklist: $(STATE)/venv-dev ## Resolve the evidence of docs/checklist.md; collect its tests
	@python scripts/checklist.py --collect
