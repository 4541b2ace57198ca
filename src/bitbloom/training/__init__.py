"""The training loop and its parts: the sampler, the optimiser, workers and checkpoints."""
