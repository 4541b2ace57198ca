"""Foundations of all rooms: errors, canonical files, digests, progress, processes, imports and git."""
