"""Noise of sensors and transmissions."""

from __future__ import annotations

import numpy as np
import torch

DEVIATIONS = (0.04, 0.08, 0.12, 0.15, 0.18)
"""Standard deviations of the Gaussian noise, of a range of 1."""
PHOTONS = (250.0, 100.0, 50.0, 30.0, 15.0)
"""Photons of a white pixel."""
REPLACED = (0.01, 0.02, 0.05, 0.08, 0.14)
"""Fractions of the values that become black or white."""


def gaussian(photo: torch.Tensor, severity: int, random: np.random.Generator) -> torch.Tensor:
    """Add Gaussian noise, as of a sensor in low light."""
    return photo + DEVIATIONS[severity - 1] * torch.from_numpy(random.standard_normal(photo.shape, dtype=np.float32))


def shot(photo: torch.Tensor, severity: int, random: np.random.Generator) -> torch.Tensor:
    """Draw a Poisson number of photons for each value."""
    photons = PHOTONS[severity - 1]
    return torch.from_numpy(random.poisson(photo.numpy() * photons).astype(np.float32)) / photons


def impulse(photo: torch.Tensor, severity: int, random: np.random.Generator) -> torch.Tensor:
    """Replace some values by black or white."""
    drawn = torch.from_numpy(random.random(photo.shape, dtype=np.float32))
    part = REPLACED[severity - 1]
    return torch.where(drawn < part, (drawn < part / 2).float(), photo)
