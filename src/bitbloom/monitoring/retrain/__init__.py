"""Retraining from the prediction log: labels from feedback, a new version of the data, a build, a comparison, a promotion."""
