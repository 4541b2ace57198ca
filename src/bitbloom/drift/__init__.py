"""Drift: do the inputs of a service still look like the training data, and how accurate is the model on them.

`observations` is the one schema of the reference and of the prediction log. `comparison.compare(reference, current)` tests
descriptors, embeddings and predictions. `accuracy` estimates the accuracy without labels. `familiar` tells whether an input is of
a known class. The room needs neither torch nor a model, because the service imports it.
"""
