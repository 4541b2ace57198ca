# Experiments: searches over the config, comparison of runs, profiles, batches of predictions.

##@ Experiment

.PHONY: profile
profile: $(STATE)/venv-dev ## Show where the time of STAGE goes: train, serve, ingest, …
	@bitbloom profile $(TARGET) --stage $(or $(STAGE),train) --build
