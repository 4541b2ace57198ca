"""Weather: snow, frost, fog and bright light."""

from __future__ import annotations

import kornia
import numpy as np
import torch

from bitbloom.monitoring.robustness.photos.blur import pixels, trail

FLAKES = ((0.012, 4.0, 0.05), (0.022, 5.0, 0.1), (0.034, 6.0, 0.15), (0.048, 7.0, 0.2), (0.065, 8.0, 0.25))
"""Fraction of pixels with a flake, length of its trail, and how far the photo turns white."""
SNOWLIGHT = 2.6
"""Brightness of a flake before its trail spreads it."""
ICE = ((1.0, 0.25), (0.95, 0.4), (0.9, 0.55), (0.85, 0.7), (0.8, 0.85))
"""Weights of the photo and of the ice."""
ICE_COLOUR = (0.86, 0.93, 1.0)
MISTS = ((0.4, 0.45), (0.7, 0.45), (1.0, 0.5), (1.5, 0.55), (2.0, 0.6))
"""Strength and roughness of the fog."""
LIGHT = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Added brightness."""


def plasma(side: int, roughness: float, random: np.random.Generator) -> torch.Tensor:
    """A cloud [1, 1, side, side] in 0…1, by the diamond-square algorithm."""

    def draw(shape: torch.Size, device: torch.device | None = None, dtype: torch.dtype | None = None) -> torch.Tensor:
        return torch.from_numpy(random.random(tuple(shape), dtype=np.float32))

    return kornia.contrib.diamond_square(
        (1, 1, side, side), roughness, random_fn=draw, normalize_range=(0.0, 1.0), dtype=torch.float32
    )


def snow(photo: torch.Tensor, severity: int, random: np.random.Generator) -> torch.Tensor:
    """Add falling flakes, and turn the photo towards a bright grey."""
    part, length, white = FLAKES[severity - 1]
    drawn = random.random((1, 1, *photo.shape[-2:]), dtype=np.float32)
    flakes = torch.from_numpy((drawn < part).astype(np.float32) * SNOWLIGHT)
    fallen = trail(flakes, pixels(length, photo), random.uniform(45, 90)).clamp(0, 1)
    grey = kornia.color.rgb_to_grayscale(photo)
    return (1 - white) * photo + white * torch.maximum(photo, grey * 1.5 + 0.5).clamp(0, 1) + fallen


def frost(photo: torch.Tensor, severity: int, random: np.random.Generator) -> torch.Tensor:
    """Cover the photo with crystals: ridges of two clouds, in a cold white."""
    kept, ice = ICE[severity - 1]
    ridges = [1 - (2 * plasma(photo.shape[-1], roughness, random) - 1).abs() for roughness in (0.75, 0.9)]
    crystals = (ridges[0] * ridges[1]).sqrt() ** 2.5
    return kept * photo + ice * crystals * torch.tensor(ICE_COLOUR).view(1, 3, 1, 1)


def fog(photo: torch.Tensor, severity: int, random: np.random.Generator) -> torch.Tensor:
    """Add a bright cloud and scale the sum to the brightness of the photo."""
    strength, roughness = MISTS[severity - 1]
    brightest = photo.max()
    return (photo + strength * plasma(photo.shape[-1], roughness, random)) * brightest / (brightest + strength)


def brightness(photo: torch.Tensor, severity: int, random: np.random.Generator) -> torch.Tensor:
    """Add brightness, as an overexposed photo."""
    return kornia.enhance.adjust_brightness(photo, LIGHT[severity - 1])
