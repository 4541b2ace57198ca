"""Preprocessing from the stored square to the network's input: the same in training, evaluation, export and service."""

from __future__ import annotations

import math
from collections.abc import Sequence

import kornia
import torch
from torch import Tensor, nn


class Preprocess(nn.Module):
    """uint8 [n, 3, S, S] → float32 [n, 3, s, s]: scale to 0..1, resize to the network's input, normalise."""

    def __init__(self, image_size: int, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.image_size = image_size
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(list(mean)), persistent=False)
        self.register_buffer("std", torch.tensor(list(std)), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Convert stored squares to network inputs."""
        return self.normalise(self.resize(scale(images)))

    def resize(self, pixels: Tensor) -> Tensor:
        """float32 [n, 3, S, S] → [n, 3, s, s], smoothed before downscaling."""
        full = pixels.shape[-1]
        if full == self.image_size:
            return pixels
        if full > self.image_size:
            kernel = torch.tensor([smoothing(full / self.image_size)])
            pixels = kornia.filters.filter2d_separable(pixels, kernel, kernel, border_type="reflect")
        return kornia.geometry.resize(pixels, (self.image_size, self.image_size), interpolation="bilinear")

    def normalise(self, pixels: Tensor) -> Tensor:
        """(pixels - mean) / std, per channel."""
        return kornia.enhance.normalize(pixels, self.mean, self.std)


GRID = 1 << 16


def smoothing(factor: float) -> list[float]:
    """Return the Gaussian of `kornia.geometry.resize(antialias=True)` for downscaling by `factor`, rounded to a grid.

    Kornia takes `exp` of a tensor, which vector-math libraries compute differently on different CPUs. Rounding removes the
    differences in the last digit between C libraries.
    """
    sigma = max((factor - 1) / 2, 0.001)
    half = max(1, int(max(4 * sigma, 3)) // 2)
    weights = [round(GRID * math.exp(-((x / sigma) ** 2) / 2)) for x in range(-half, half + 1)]
    return [weight / sum(weights) for weight in weights]


def scale(images: Tensor) -> Tensor:
    """Scale uint8 0..255 to float32 0..1."""
    return images.to(torch.float32) / 255.0
