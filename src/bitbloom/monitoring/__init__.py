"""After the launch: drift, robustness, monitoring, retraining."""
