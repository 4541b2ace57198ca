"""What happens to pixels between the stored square and the network, the same in training, evaluation, export and service."""

from __future__ import annotations

from collections.abc import Sequence

import kornia
import torch
from torch import Tensor, nn


class Preprocess(nn.Module):
    """uint8 [n, 3, S, S] → float32 [n, 3, s, s]: to 0..1, resized to the network's input, normalised."""

    def __init__(self, image_size: int, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.image_size = image_size
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(list(mean)), persistent=False)
        self.register_buffer("std", torch.tensor(list(std)), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Stored squares to network inputs."""
        return self.normalise(self.resize(scale(images)))

    def resize(self, pixels: Tensor) -> Tensor:
        """float32 [n, 3, S, S] → [n, 3, s, s], smoothed before it shrinks."""
        if pixels.shape[-1] == self.image_size:
            return pixels
        side = (self.image_size, self.image_size)
        return kornia.geometry.resize(pixels, side, interpolation="bilinear", antialias=True)

    def normalise(self, pixels: Tensor) -> Tensor:
        """(pixels - mean) / std a channel."""
        return kornia.enhance.normalize(pixels, self.mean, self.std)


def scale(images: Tensor) -> Tensor:
    """uint8 0..255 to float32 0..1."""
    return images.to(torch.float32) / 255.0
