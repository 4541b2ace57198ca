"""Digital damage: contrast, elastic deformation, coarse pixels, JPEG."""

from __future__ import annotations

import math

import kornia
import numpy as np
import torch

from bitbloom.monitoring.robustness.photos.blur import pixels

CONTRASTS = (0.4, 0.3, 0.2, 0.1, 0.05)
"""Factors of the deviation from the mean."""
WAVES = (0.6, 1.0, 1.4, 1.9, 2.5)
"""Standard deviation of the shift of a pixel, in pixels of a square of 64."""
SMOOTH = 3.0
"""Sigma that smooths the shifts, likewise."""
COARSE = (0.6, 0.5, 0.4, 0.3, 0.25)
"""Side of the coarse photo, as a fraction."""
QUALITIES = (50.0, 30.0, 20.0, 12.0, 7.0)
"""JPEG quality, 1 to 100."""


def contrast(photo: torch.Tensor, severity: int, random: np.random.Generator) -> torch.Tensor:
    """Lower the contrast around the mean of each channel."""
    mean = photo.mean(dim=(2, 3), keepdim=True)
    return mean + (photo - mean) * CONTRASTS[severity - 1]


def elastic(photo: torch.Tensor, severity: int, random: np.random.Generator) -> torch.Tensor:
    """Shift pixels by a smooth random field."""
    side, sigma = photo.shape[-1], pixels(SMOOTH, photo)
    size = 2 * math.ceil(3 * sigma) + 1
    shifts = torch.from_numpy(random.uniform(-1, 1, (1, 2, side, side)).astype(np.float32))
    smoothed = 1 / (math.sqrt(3) * 2 * sigma * math.sqrt(math.pi))  # standard deviation of the field after the blur
    alpha = pixels(WAVES[severity - 1], photo) * 2 / side / smoothed
    return kornia.geometry.elastic_transform2d(
        photo, shifts, (size, size), (sigma, sigma), (alpha, alpha), padding_mode="reflection"
    )


def pixelate(photo: torch.Tensor, severity: int, random: np.random.Generator) -> torch.Tensor:
    """Average the photo to fewer pixels, and enlarge them."""
    side = photo.shape[-1]
    small = max(1, round(side * COARSE[severity - 1]))
    coarse = kornia.geometry.resize(photo, (small, small), interpolation="area")
    return kornia.geometry.resize(coarse, (side, side), interpolation="nearest")


def jpeg(photo: torch.Tensor, severity: int, random: np.random.Generator) -> torch.Tensor:
    """Code and decode the photo by Kornia's JPEG, whose rounding is slightly smooth."""
    return kornia.enhance.jpeg_codec_differentiable(photo, torch.tensor([QUALITIES[severity - 1]]))
