"""`service`: limits and texts of the service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass
class Service:
    """Limits and texts of the service."""

    title: str = "BitBloom"
    max_bytes: int = 10_000_000
    max_pixels: int = 50_000_000
    max_batch: int = 32
    max_requests: int = 128
    """Questions that are read, waiting or answered at a time; more are turned away at once (503, to be asked again later)."""
    held_bytes: int = 200_000_000
    """Bytes of all requests together that are held at a time."""
    body_seconds: float = 20.0
    """How long a request may take to arrive."""
    int8: bool = False
    """Pack the int8 graph: faster. `bitbloom predict` always answers with the fp32 one."""
    unsure_below: float = 0.5
    """The page says that it is not sure below this probability."""

    POSITIVE: ClassVar[tuple[str, ...]] = ("max_bytes", "max_pixels", "max_batch", "max_requests", "body_seconds")
    """Keys whose value is 1 or more."""
