"""`augment`: augmentation of training images."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Augment:
    """Kornia augmentations of a training batch, each with its probability (0 disables it)."""

    crop: float = 1.0
    crop_scale: list[float] = field(default_factory=lambda: [0.6, 1.0])
    """Smallest and largest side of the crop as a fraction of the stored square's side."""
    flip: float = 0.5
    vertical_flip: float = 0.0
    colour: float = 0.8
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    erase: float = 0.0
    erase_scale: list[float] = field(default_factory=lambda: [0.02, 0.15])
    mixup: float = 0.0
    cutmix: float = 0.0
