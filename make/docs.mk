# The site of the documentation, generated parts of its pages, slides, exam report, demonstration.

##@ Documentation

.PHONY: docs
docs: $(STATE)/venv-dev ## Build the site of the documentation, site/, to read without a network
	@NO_MKDOCS_2_WARNING=1 mkdocs build --quiet && echo site/index.html

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

.PHONY: slides
slides: $(STATE)/venv-dev ## Render docs/slides to HTML and PDF in dist/ (PDF needs Chromium)
	@python scripts/slides.py

.PHONY: demo
demo: $(STATE)/venv-$(ACCEL) ## Show service, photos, drift, provenance and a rebuild (PAUSE=1 waits between steps)
	@python scripts/demo.py $(if $(filter-out file,$(origin TARGET)),--target '$(TARGET)') $(if $(PAUSE),--pause)

.PHONY: new
new: $(STATE)/venv-dev ## Make a project of your own from this one (NAME=my_project, TASK=, DIR=)
	@python -m scripts.new_project '$(NAME)' --task '$(TASK)' --folder '$(DIR)'

.PHONY: report
report: $(STATE)/venv-dev ## Write the page of the exam report; check its limits and statements
	@python reports/report.py html
	@python reports/report.py check --strict

.PHONY: checklist
checklist: $(STATE)/venv-dev ## Resolve the evidence of docs/checklist.md; collect its tests
	@python scripts/checklist.py --collect
