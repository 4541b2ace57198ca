"""Experiments with targets: searches, records of runs, profiles, and batches of predictions. No stage imports them."""
