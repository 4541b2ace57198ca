"""`evaluate`: what is measured on the test split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass
class Evaluate:
    """What is measured on the test split."""

    bootstrap: int = 1000
    """Resamples for the confidence intervals."""
    calibration_bins: int = 10
    worst: int = 16
    """Mistakes shown, the most confident first."""

    POSITIVE: ClassVar[tuple[str, ...]] = ("calibration_bins",)
    """Keys whose value is 1 or more."""
