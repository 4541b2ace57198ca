"""After the launch: drift of the inputs, robustness of the model, and what watches a service."""
