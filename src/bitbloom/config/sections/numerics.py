"""`numerics`: how arithmetic is pinned."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Numerics:
    """How arithmetic is pinned."""

    profile: str = "portable"
    """portable | fast | cuda."""
    micro_batches: int = 8
    """Micro-batches a step, each computed alone: a power of two, 8 or more, and never fewer than the workers."""
