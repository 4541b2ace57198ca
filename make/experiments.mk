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
