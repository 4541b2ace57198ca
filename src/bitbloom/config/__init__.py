"""The configuration of a target, as the stages read it: one module a section and a model kind, and a target with its paths."""
