"""After the launch: drift of the inputs, robustness of a model, and the stack that watches a service."""
