"""Audit of labels: samples whose out-of-sample probabilities disagree with their label, and the correction of labels."""
