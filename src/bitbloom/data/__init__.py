"""Samples before there is a model: sources, photos, texts, packed arrays, and the split of each sample."""
