# Generated parts of the documentation: figures of builds, diagram of the architecture, slides; the demonstration.

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

.PHONY: slides
slides: $(STATE)/venv-dev ## Render docs/slides to HTML and PDF in dist/ (PDF needs Chromium)
	@python scripts/slides.py

.PHONY: demo
demo: $(STATE)/venv-$(ACCEL) ## Show service, photos, provenance and a rebuild (PAUSE=1 waits between steps)
	@python scripts/demo.py $(if $(filter-out file,$(origin TARGET)),--target '$(TARGET)') $(if $(PAUSE),--pause)

.PHONY: new
new: $(STATE)/venv-dev ## Make a project of your own from this one (NAME=my_project, TASK=, DIR=)
	@python -m scripts.new_project '$(NAME)' --task '$(TASK)' --folder '$(DIR)'
