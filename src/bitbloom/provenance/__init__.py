"""Who made what from what: digests, deterministic archives, attestations."""
