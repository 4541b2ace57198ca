"""`model` of kind `image`: a classifier of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from bitbloom.config.models import Model


@dataclass
class ImageModel(Model):
    """A classifier of images."""

    kind: str = "image"
    architecture: str = "vit"
    """vit | kornia-vit (Kornia's) | cnn | dinov2 | auto (any `AutoModelForImageClassification` of `weights`)."""
    image_size: int = 96
    """Side of the network's input, pixels."""
    mean: list[float] = field(default_factory=lambda: [0.5, 0.5, 0.5])
    std: list[float] = field(default_factory=lambda: [0.25, 0.25, 0.25])
    patch_size: int = 16
    hidden_size: int = 192
    layers: int = 6
    heads: int = 3
    mlp_ratio: int = 4
    stem: str = "conv"
    """patch (one strided convolution) | conv (a stack of 3×3 convolutions; Xiao et al. 2021, arXiv:2106.14881)."""
    pooling: str = "class"
    """Input of the head of a `vit` or `kornia-vit`: class (the class token) | mean (the mean of the patches)."""
    dropout: float = 0.0

    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "architecture": ("vit", "kornia-vit", "cnn", "dinov2", "auto"),
        "stem": ("patch", "conv"),
        "pooling": ("class", "mean"),
    }
    POSITIVE: ClassVar[tuple[str, ...]] = ("image_size", "patch_size", "hidden_size", "layers", "heads", "mlp_ratio")
