"""`export`: the exported graphs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Export:
    """The exported graph."""

    opset: int = 20
    int8: bool = True
    calibration_samples: int = 128
    """Training samples from which the static int8 ranges are taken."""
    tolerance: float = 1e-4
    """Largest difference of an output between PyTorch and the exported graph."""
    index: int = 500
    """Most photos of the test split that can be searched for by a sentence."""
    int8_cost: float = 0.02
    """Accuracy that the int8 variant may cost before `run.json` says that it is too much."""
