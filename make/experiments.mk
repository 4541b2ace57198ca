# Experiments: searches over the config, comparison of runs, profiles, batches of predictions.

##@ Experiment

# A source may be a URL, and its path may hold any character.
.PHONY: predict
predict: $(call stamp,export) $(if $(filter ray,$(ENGINE)),$(STATE)/venv-dev) ## Predict all of SOURCE into OUT (folder, gs://, table; ENGINE=ray)
	@bitbloom predict $(TARGET) $(call quoted,$(or $(value SOURCE),$(error SOURCE=path is missing: a folder, gs://bucket/prefix or a table))) \
		--out $(call quoted,$(or $(value OUT),$(error OUT=folder is missing: a new one for the predictions))) \
		$(if $(settings),--workspace '$(call workspace,export)') \
		$(if $(ENGINE),--engine '$(ENGINE)') $(if $(FORMAT),--format '$(FORMAT)') $(if $(COLUMN),--column $(call quoted,$(value COLUMN)))
