"""What every room stands on: errors, canonical files, digests, progress, processes, imports, git."""
