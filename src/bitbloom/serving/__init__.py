"""Serving: the predictor, and what the services of all tasks share. It travels in the Bento, without torch."""
