"""The training loop and its parts: which samples a step sees, the optimiser, workers, checkpoints."""
