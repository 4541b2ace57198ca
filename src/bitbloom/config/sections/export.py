"""`export`: the exported graphs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Export:
    """The exported graph."""

    opset: int = 20
    int8: bool = True
    calibration_samples: int = 128
    """Training samples for the calibration of the static int8 ranges."""
    tolerance: float = 1e-4
    """Largest allowed difference of an output between PyTorch and the exported graph."""
    index: int = 500
    """Largest number of test photos in the search index."""
    int8_cost: float = 0.02
    """Accuracy that the int8 variant may lose before `run.json` reports it as too much."""
