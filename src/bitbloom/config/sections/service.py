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
    """Largest number of concurrent requests; further requests are rejected with 503 and `Retry-After`."""
    held_bytes: int = 200_000_000
    """Largest total size of the request bodies in memory, bytes."""
    body_seconds: float = 20.0
    """Time limit for the arrival of a request body, seconds."""
    int8: bool = False
    """Package the int8 graph, which is faster. `bitbloom predict` always uses the fp32 graph."""
    unsure_below: float = 0.5
    """The page marks predictions below this probability as uncertain."""

    POSITIVE: ClassVar[tuple[str, ...]] = ("max_bytes", "max_pixels", "max_batch", "max_requests", "body_seconds")
    """Keys whose value is at least 1."""
