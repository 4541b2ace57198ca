# Experiments: searches over the config, comparison of runs, profiles, batches of predictions.

##@ Experiments

.PHONY: experiments
experiments: $(STATE)/venv-$(ACCEL) ## Show TARGET's experiments with DVC: metrics, changed parameters
	@bitbloom experiments $(TARGET)
