# Experiments: searches over the config, comparison of runs, profiles, batches of predictions.

SPACE ?= conf/sweep/petals.yaml
ENGINE ?= local

##@ Experiment

.PHONY: sweep
sweep: $(STATE)/venv-dev ## Search hyperparameters (SPACE=conf/sweep/….yaml, TARGET, TRIALS, WORKERS, ENGINE=local|ray|wandb|hydra)
	@bitbloom sweep run '$(SPACE)' --engine '$(ENGINE)' $(if $(filter command environment,$(origin TARGET)),--target '$(TARGET)') \
		$(if $(TRIALS),--trials '$(TRIALS)')

.PHONY: adopt
adopt: $(STATE)/venv-dev ## Make a target or a config group of a sweep's winner (SWEEP=name, AS=conf/….yaml, TRIAL=n)
	@bitbloom sweep adopt '$(SWEEP)' --as '$(AS)' $(if $(TRIAL),--trial '$(TRIAL)')

RUNS ?=

.PHONY: runs
runs: $(STATE)/venv-$(ACCEL) ## List the runs of this checkout (SORT=accuracy; TARGET filters)
	@bitbloom runs $(if $(filter-out file,$(origin TARGET)),'$(TARGET)') $(if $(SORT),--sort '$(SORT)')

.PHONY: compare
compare: $(STATE)/venv-$(ACCEL) ## Compare RUNS='petals 3f2a': here, and as one HTML page
	@bitbloom compare $(RUNS)

.PHONY: profile
profile: $(STATE)/venv-dev ## Show where the time of STAGE goes: train, serve, ingest, …
	@bitbloom profile $(TARGET) --stage $(or $(STAGE),train) --build
