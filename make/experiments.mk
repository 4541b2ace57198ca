# Experiments: searches over the config, comparison of runs, profiles, batches of predictions.

SPACE ?= conf/sweep/petals.yaml

##@ Experiment

.PHONY: sweep
sweep: $(STATE)/venv-dev ## Search hyperparameters (SPACE=conf/sweep/….yaml, TARGET, TRIALS, WORKERS, ENGINE=local|ray|wandb|hydra)
	@bitbloom sweep run '$(SPACE)' --engine '$(or $(ENGINE),local)' $(if $(filter command environment,$(origin TARGET)),--target '$(TARGET)') \
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

# A source may be a URL, and its path may hold any character.
.PHONY: predict
predict: $(call stamp,export) $(if $(filter ray,$(ENGINE)),$(STATE)/venv-dev) ## Predict all of SOURCE into OUT (folder, gs://, table; ENGINE=ray)
	@bitbloom predict $(TARGET) $(call quoted,$(or $(value SOURCE),$(error SOURCE=path is missing: a folder, gs://bucket/prefix or a table))) \
		--out $(call quoted,$(or $(value OUT),$(error OUT=folder is missing: a new one for the predictions))) \
		$(if $(settings),--workspace '$(call workspace,export)') \
		$(if $(ENGINE),--engine '$(ENGINE)') $(if $(FORMAT),--format '$(FORMAT)') $(if $(COLUMN),--column $(call quoted,$(value COLUMN)))

.PHONY: experiments
experiments: $(STATE)/venv-$(ACCEL) ## Show TARGET's experiments with DVC: metrics, changed parameters
	@bitbloom experiments $(TARGET)
