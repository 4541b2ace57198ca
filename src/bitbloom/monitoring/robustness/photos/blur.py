"""Blur of lenses and movements. Lengths are pixels of a square of 64 and grow with the side."""

from __future__ import annotations

import math

import kornia
import numpy as np
import torch

SIDE = 64
RADII = (1.0, 1.4, 1.9, 2.5, 3.2)
"""Radii of the disc of a lens out of focus."""
SMALLEST = 0.6
"""Smallest radius in pixels: a smaller disc changes no pixel."""
SHIFTS = ((0.4, 1, 1), (0.5, 1, 2), (0.6, 2, 1), (0.7, 2, 2), (0.9, 3, 2))
"""Sigma of the blur, largest shift of a pixel, and number of rounds of the glass."""
TRAILS = (4.0, 5.5, 7.0, 9.0, 11.0)
"""Lengths of the trail of a movement."""
ZOOMS = (0.06, 0.11, 0.16, 0.21, 0.26)
"""Growth of the photo while the lens zooms."""
STEPS = 12
"""Pictures that the blur of a zoom averages."""
SUBPIXELS = 8
"""Samples a side of a pixel at the edge of the disc."""


def pixels(length: float, photo: torch.Tensor) -> float:
    """A length of a square of 64 in pixels of a photo [1, 3, S, S]."""
    return length * photo.shape[-1] / SIDE


def gauss(photo: torch.Tensor, sigma: float) -> torch.Tensor:
    """Blur a photo [1, C, S, S] by a Gaussian, to three sigma."""
    size = 2 * math.ceil(3 * sigma) + 1
    return kornia.filters.gaussian_blur2d(photo, (size, size), (sigma, sigma))


def defocus(photo: torch.Tensor, severity: int, random: np.random.Generator) -> torch.Tensor:
    """Blur by a disc, as a lens out of focus."""
    return kornia.filters.filter2d(photo, disc(max(SMALLEST, pixels(RADII[severity - 1], photo))), border_type="reflect")


def disc(radius: float) -> torch.Tensor:
    """A disc with smooth edges, [1, k, k] with the sum 1."""
    half = math.ceil(radius)
    inner = (np.arange(SUBPIXELS) + 0.5) / SUBPIXELS - 0.5
    places = (np.arange(-half, half + 1)[:, None] + inner).ravel()
    inside = places[:, None] ** 2 + places**2 <= radius**2
    cells = inside.reshape(2 * half + 1, SUBPIXELS, 2 * half + 1, SUBPIXELS).sum(axis=(1, 3)).astype(np.float32)
    return torch.from_numpy(cells / cells.sum())[None]


def glass(photo: torch.Tensor, severity: int, random: np.random.Generator) -> torch.Tensor:
    """Exchange pixels with near ones between two blurs, as frosted glass does."""
    sigma, most, rounds = SHIFTS[severity - 1]
    most = max(1, round(pixels(most, photo)))
    side = photo.shape[-1]
    blurred = gauss(photo, pixels(sigma, photo))
    places = np.arange(side)
    for _ in range(rounds):
        down, right = random.integers(-most, most + 1, (2, side, side))
        rows = np.clip(places[:, None] + down, 0, side - 1)
        columns = np.clip(places[None] + right, 0, side - 1)
        blurred = blurred[:, :, torch.from_numpy(rows), torch.from_numpy(columns)]
    return gauss(blurred, pixels(sigma, photo))


def motion(photo: torch.Tensor, severity: int, random: np.random.Generator) -> torch.Tensor:
    """Blur along a line of random direction, as a moved camera."""
    return trail(photo, pixels(TRAILS[severity - 1], photo), random.uniform(-45, 45))


def trail(photo: torch.Tensor, length: float, angle: float) -> torch.Tensor:
    """Blur along a line of a length in pixels and an angle in degrees."""
    size = max(3, 2 * round(length / 2) + 1)
    return kornia.filters.motion_blur(photo, size, angle, 0.0, border_type="replicate", mode="bilinear")


def zoom(photo: torch.Tensor, severity: int, random: np.random.Generator) -> torch.Tensor:
    """Average growing pictures, as a lens that zooms."""
    factors = np.linspace(1, 1 + ZOOMS[severity - 1], STEPS).tolist()
    grown = [kornia.geometry.scale(photo, torch.tensor([[factor, factor]]), padding_mode="border") for factor in factors]
    return torch.stack(grown).mean(dim=0)
