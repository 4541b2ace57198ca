"""`evaluate`: metrics and figures of the test split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass
class Evaluate:
    """Settings of the evaluation on the test split."""

    bootstrap: int = 1000
    """Resamples for the confidence intervals."""
    calibration_bins: int = 10
    worst: int = 16
    """Number of errors shown, by descending confidence."""

    POSITIVE: ClassVar[tuple[str, ...]] = ("calibration_bins",)
    """Keys whose value is at least 1."""
