"""The configuration of a target for the stages: one module per section and model kind, and the target with its paths."""
