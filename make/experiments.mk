# Experiments: searches over the config, comparison of runs, profiles, batches of predictions.
