"""`numerics`: settings of portable arithmetic."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Numerics:
    """Settings of portable arithmetic."""

    profile: str = "portable"
    """portable | fast | cuda."""
    micro_batches: int = 8
    """Micro-batches per step, each computed alone: a power of two, at least 8 and at least the number of workers."""
