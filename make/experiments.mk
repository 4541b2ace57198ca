# Experiments: searches over the config, comparison of runs, profiles, batches of predictions.

RUNS ?=

##@ Experiments (docs/runs.md)

.PHONY: runs
runs: $(STATE)/venv-$(ACCEL) ## List the runs of this checkout (SORT=accuracy; TARGET filters)
	@bitbloom runs $(if $(filter-out file,$(origin TARGET)),'$(TARGET)') $(if $(SORT),--sort '$(SORT)')

.PHONY: compare
compare: $(STATE)/venv-$(ACCEL) ## Compare RUNS='petals 3f2a': here, and as one HTML page
	@bitbloom compare $(RUNS)
