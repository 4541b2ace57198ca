"""Kornia augmentations whose parameters are pure functions of each sample's seed.

Kornia's own samplers use tensor `exp`, `log`, `pow` and Beta draws, which differ between CPUs. Here the parameters come
from integers (`numerics.seeds`), and Kornia's operators apply them through `params=`. The result for a sample does not
depend on the micro-batch, worker or machine that processes it; only MixUp and CutMix use other samples of the micro-batch.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import kornia.augmentation as K  # noqa: N812 -- Kornia's own convention
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bitbloom.numerics import seeds as draw

if TYPE_CHECKING:
    from bitbloom.config.sections.augment import Augment

Seeds = NDArray[np.uint64]
CROP, FLIP, VERTICAL, COLOUR, ERASE, MIX = range(6)
"""Purposes: each augmentation derives its own seed, so that disabling one does not change the others."""


@dataclass(frozen=True)
class Mixed:
    """A batch after augmentation: label `first` has the weight 1 - `weight`, label `second` has `weight`.

    Shapes: pixels float32 [n, 3, s, s], first and second int64 [n], weight float32 [n].
    """

    pixels: Tensor
    first: Tensor
    second: Tensor
    weight: Tensor


def augment(pixels: Tensor, labels: Tensor, seeds: Seeds, side: int, config: Augment) -> Mixed:
    """Augment a micro-batch, float32 [n, 3, S, S] in 0..1, and mix its samples; one seed per sample."""
    return mix(vary(pixels, seeds, side, config), labels, draw.derive(seeds, MIX), config)


def vary(pixels: Tensor, seeds: Seeds, side: int, config: Augment) -> Tensor:
    """Crop to `side`, flip, colour and erase each sample independently: [n, 3, S, S] → [n, 3, side, side]."""
    pixels = crop(pixels, draw.derive(seeds, CROP), side, config)
    pixels = flip(pixels, draw.derive(seeds, FLIP), config.flip, K.RandomHorizontalFlip)
    pixels = flip(pixels, draw.derive(seeds, VERTICAL), config.vertical_flip, K.RandomVerticalFlip)
    pixels = colour(pixels, draw.derive(seeds, COLOUR), config)
    return erase(pixels, draw.derive(seeds, ERASE), config)


def crop(pixels: Tensor, seeds: Seeds, side: int, config: Augment) -> Tensor:
    """Crop a random square of `crop_scale` of the side by slicing and resize it; resize the whole image if no crop is drawn."""
    full = pixels.shape[-1]
    if config.crop == 0 and full == side:
        return pixels
    low, high = (max(1, round(full * scale)) for scale in config.crop_scale)
    size = draw.integers(draw.derive(seeds, 0), low, high)
    size = np.where(draw.happens(draw.derive(seeds, 1), config.crop), size, full)
    boxes = _boxes(draw.derive(seeds, 2), size, size, full)
    cropped: Tensor = _resized_crop(side)(pixels, params={"src": boxes, "dst": boxes, "batch_prob": torch.ones(len(seeds))})
    return cropped


def flip(pixels: Tensor, seeds: Seeds, probability: float, operator: type[K.GeometricAugmentationBase2D]) -> Tensor:
    """Mirror samples with the given probability."""
    if probability == 0:
        return pixels
    flipped: Tensor = operator(p=0.5)(pixels, params={"batch_prob": _gate(seeds, 0, probability)})
    return flipped


def colour(pixels: Tensor, seeds: Seeds, config: Augment) -> Tensor:
    """Scale brightness, contrast and saturation of some samples by factors around one (Kornia's ColorJiggle)."""
    if config.colour == 0:
        return pixels
    amounts = (config.brightness, config.contrast, config.saturation)
    factors = [torch.from_numpy(_around_one(draw.derive(seeds, purpose), amount)) for purpose, amount in enumerate(amounts, 1)]
    names = ("brightness_factor", "contrast_factor", "saturation_factor")
    params = dict(zip(names, factors, strict=True))
    params |= {"hue_factor": torch.zeros(len(seeds)), "order": torch.arange(4), "batch_prob": _gate(seeds, 0, config.colour)}
    coloured: Tensor = _colour_jiggle(*amounts)(pixels, params=params)
    return coloured


def erase(pixels: Tensor, seeds: Seeds, config: Augment) -> Tensor:
    """Cover some samples with a grey rectangle of `erase_scale` of the area (sides by integers, no square root of tensors)."""
    if config.erase == 0:
        return pixels
    side = pixels.shape[-1]
    smallest, largest = (max(1, _root(fraction, side)) for fraction in config.erase_scale)
    width, height = (draw.integers(draw.derive(seeds, purpose), smallest, largest) for purpose in (1, 2))
    corner = _boxes(draw.derive(seeds, 3), width, height, side)[:, 0]
    params = {"widths": _floats(width), "heights": _floats(height), "xs": corner[:, 0], "ys": corner[:, 1]}
    params |= {"values": torch.full((len(seeds),), 0.5), "batch_prob": _gate(seeds, 0, config.erase)}
    erased: Tensor = _erasing()(pixels, params=params)
    return erased


def mix(pixels: Tensor, labels: Tensor, seeds: Seeds, config: Augment) -> Mixed:
    """Apply MixUp (Zhang et al. 2018), CutMix (Yun et al. 2019) or neither: one draw per micro-batch.

    The partner of a sample is the previous one of the micro-batch; its weight is uniform in [0, 0.5).
    """
    unmixed = Mixed(pixels, labels, labels, torch.zeros(len(seeds)))
    choice = draw.units(draw.derive(seeds[:1], 0))[0]
    partner = torch.roll(torch.arange(len(seeds)), 1)
    weight = draw.units(draw.derive(seeds, 1)) / 2
    if choice < config.mixup:
        params = {"mixup_pairs": partner, "mixup_lambdas": torch.from_numpy(weight), "batch_prob": torch.ones(len(seeds))}
        return Mixed(_mixup()(pixels, params=params), labels, labels[partner], torch.from_numpy(weight))
    if choice < config.mixup + config.cutmix:
        return _cutmix(pixels, labels, seeds, partner)
    return unmixed


def _cutmix(pixels: Tensor, labels: Tensor, seeds: Seeds, partner: Tensor) -> Mixed:
    side = pixels.shape[-1]
    size = draw.integers(draw.derive(seeds, 2), side // 4, (side * 7) // 10)
    boxes = _boxes(draw.derive(seeds, 3), size, size, side)
    params = {
        "mix_pairs": partner[None],
        "crop_src": boxes[None],
        "batch_prob": torch.ones(len(seeds)),
        "image_shape": torch.tensor([side, side]),
    }
    weight = torch.from_numpy((size * size).astype(np.float32) / np.float32(side * side))
    return Mixed(_cutmix_operator()(pixels, params=params), labels, labels[partner], weight)


# Operators are cached: the constructors of their samplers, which are not used here, take a logarithm that differs between CPUs.


@functools.cache
def _resized_crop(side: int) -> K.RandomResizedCrop:
    return K.RandomResizedCrop((side, side), cropping_mode="slice", align_corners=False)


@functools.cache
def _colour_jiggle(brightness: float, contrast: float, saturation: float) -> K.ColorJiggle:
    return K.ColorJiggle(brightness, contrast, saturation, 0.0, p=0.5)


@functools.cache
def _erasing() -> K.RandomErasing:
    return K.RandomErasing(p=0.5)


@functools.cache
def _mixup() -> K.RandomMixUpV2:
    return K.RandomMixUpV2(data_keys=["input"])


@functools.cache
def _cutmix_operator() -> K.RandomCutMixV2:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return K.RandomCutMixV2(data_keys=["input"], use_correct_lambda=True)


def _boxes(seeds: Seeds, width: NDArray[np.int64], height: NDArray[np.int64], side: int) -> Tensor:
    """float32 [n, 4, 2] corners (x, y), clockwise from top left, inclusive as in Kornia, at random positions."""
    left, top = draw.below(draw.derive(seeds, 0), side - width + 1), draw.below(draw.derive(seeds, 1), side - height + 1)
    right, bottom = left + width - 1, top + height - 1
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return _floats(np.stack([np.stack(corner, -1) for corner in corners], 1))


def _floats(values: NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _gate(seeds: Seeds, purpose: int, probability: float) -> Tensor:
    return torch.from_numpy(draw.happens(draw.derive(seeds, purpose), probability).astype(np.float32))


def _around_one(seeds: Seeds, amount: float) -> NDArray[np.float32]:
    return (1 + (2 * draw.units(seeds) - 1) * np.float32(amount)).astype(np.float32)


def _root(fraction: float, side: int) -> int:
    """Return the side of the largest square of at most `fraction` of an image's area, by integers."""
    return max(size for size in range(side + 1) if size * size <= fraction * side * side)
