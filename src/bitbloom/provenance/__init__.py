"""Proofs of a build: a compared rebuild, hermetic stages, attestations, and the comparison of two trainings."""
