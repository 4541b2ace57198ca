"""EfficientNet-Lite0 as a feature extractor: Tan and Le 2019, arXiv:1905.11946, without squeeze and excitation.

The checkpoint has the names of the package `efficientnet-lite-pytorch`. Batch normalisation is folded into the convolutions,
which is exact up to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from bitbloom.core.errors import BitBloomError

BLOCKS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks of a group, side of the kernel, stride of the first block, expansion, channels."""
STEM, WIDTH = 32, 1280
EPSILON = 1e-3
"""Of batch normalisation."""
SIDE = 224
"""Pixels per side of the photos of the pretraining."""


class Convolution(nn.Conv2d):
    """A convolution with TensorFlow's padding: an odd pixel goes to the right and to the bottom."""

    def __init__(self, before: int, after: int, side: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(before, after, side, stride, groups=groups)

    def forward(self, images: Tensor) -> Tensor:
        """float32 [n, before, h, w] → float32 [n, after, ⌈h / stride⌉, ⌈w / stride⌉]."""
        side, stride = self.kernel_size[0], self.stride[0]
        missing = [max((-(-size // stride) - 1) * stride + side - size, 0) for size in images.shape[2:]]
        above, left = (size // 2 for size in missing)
        return super().forward(functional.pad(images, (left, missing[1] - left, above, missing[0] - above)))


class Block(nn.Module):
    """An inverted residual: a 1×1 expansion, a depthwise convolution and a 1×1 projection."""

    def __init__(self, before: int, after: int, side: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = before * expansion
        self.expand = Convolution(before, inner) if expansion > 1 else None
        self.depthwise = Convolution(inner, inner, side, stride, groups=inner)
        self.project = Convolution(inner, after)
        self.residual = stride == 1 and before == after

    def forward(self, images: Tensor) -> Tensor:
        """float32 [n, before, h, w] → float32 [n, after, h / stride, w / stride]."""
        inner = images if self.expand is None else functional.relu6(self.expand(images))
        found: Tensor = self.project(functional.relu6(self.depthwise(inner)))
        return found + images if self.residual else found


class EfficientNetLite0(nn.Module):
    """Photos to the averages of the last feature map."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, STEM, 3, 2)
        blocks, before = [], STEM
        for count, side, stride, expansion, after in BLOCKS:
            for number in range(count):
                blocks.append(Block(before, after, side, 1 if number else stride, expansion))
                before = after
        self.blocks = nn.Sequential(*blocks)
        self.head = Convolution(before, WIDTH)

    def forward(self, photos: Tensor) -> Tensor:
        """uint8 [n, 3, s, s] → float32 [n, 1280], all ≥ 0."""
        pixels = (photos.to(torch.float32) - 127.0) / 128.0
        found = functional.relu6(self.head(self.blocks(functional.relu6(self.stem(pixels)))))
        return found.mean(dim=(2, 3))


def load(path: Path) -> EfficientNetLite0:
    """Build the network with the weights of a checkpoint. Raises BitBloomError if it is of another architecture."""
    checkpoint: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    network = EfficientNetLite0()
    try:
        network.load_state_dict(folded(checkpoint))
    except (KeyError, RuntimeError) as error:
        raise BitBloomError(f"{path} is not a checkpoint of EfficientNet-Lite0: {error}") from error
    return network.eval()


def folded(checkpoint: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fold every batch normalisation of a checkpoint into the convolution before it. Raises KeyError if a tensor is missing."""
    blocks = sum(count for count, *_ in BLOCKS)
    pairs = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    for number in range(blocks):
        old, new = f"_blocks.{number}", f"blocks.{number}"
        if number:
            pairs[f"{new}.expand"] = (f"{old}._expand_conv", f"{old}._bn0")
        pairs[f"{new}.depthwise"] = (f"{old}._depthwise_conv", f"{old}._bn1")
        pairs[f"{new}.project"] = (f"{old}._project_conv", f"{old}._bn2")
    state: dict[str, Tensor] = {}
    for name, (convolution, norm) in pairs.items():
        scale = checkpoint[f"{norm}.weight"] / torch.sqrt(checkpoint[f"{norm}.running_var"] + EPSILON)
        state[f"{name}.weight"] = checkpoint[f"{convolution}.weight"] * scale[:, None, None, None]
        state[f"{name}.bias"] = checkpoint[f"{norm}.bias"] - checkpoint[f"{norm}.running_mean"] * scale
    return state
