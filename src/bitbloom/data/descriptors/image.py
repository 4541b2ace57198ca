"""Numbers of a photo: light, colour, texture, and the size of its file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int32]

COLOUR_SIDE, TEXTURE_SIDE = 64, 96
"""Light and colour are measured in a grid of about COLOUR_SIDE pixels a side, texture in the central square of TEXTURE_SIDE."""
BLOCK = 8
"""Side of the blocks of JPEG, pixels."""
DARK, BRIGHT, LEVELS, GREYS = 16, 240, 32, 256
VALUES = np.arange(GREYS)
IMMERKAER = 1.2533141373155003 / 6
"""√(π/2) / 6: from the mean absolute response to the deviation of the noise (Immerkær 1996, doi:10.1006/cviu.1996.0060)."""
DESCRIPTIONS = {
    "brightness": "mean luma, 0 to 1",
    "contrast": "standard deviation of the luma, 0 to 1",
    "saturation": "mean difference of the largest and the smallest channel, 0 to 1",
    "warmth": "mean red minus mean blue, -1 to 1",
    "greenness": "mean green minus the mean of red and blue, -1 to 1",
    "dark": "fraction of nearly black pixels",
    "bright": "fraction of nearly white pixels",
    "evenness": "1 minus the sum of squares of a histogram of the luma: 0 for one grey",
    "centre": "mean luma of the middle minus that of all, -1 to 1",
    "detail": "mean absolute difference of neighbours, 0 to 1",
    "sharpness": "second differences relative to first ones: small after a blur",
    "noise": "estimated deviation of the noise, 0 to 1",
    "upright": "vertical differences as a fraction of all",
    "blocks": "differences at the borders of JPEG's blocks relative to those within: 1 without damage",
    "bytes": "size of the file",
}
"""The numbers and their meaning."""
NAMES = tuple(DESCRIPTIONS)


def describe(square: NDArray[np.uint8], size_bytes: int) -> dict[str, float]:
    """Describe the centre square of a photo, uint8 [3, side, side], and the size of its file."""
    return describe_all(square[None], [size_bytes])[0]


def describe_all(squares: NDArray[np.uint8], sizes: Sequence[int]) -> list[dict[str, float]]:
    """Describe squares uint8 [n, 3, side, side] as `describe` does each: eight together take half the time of eight alone."""
    side = squares.shape[-1]
    step = max(1, side // COLOUR_SIDE)
    pixels = squares[:, :, ::step, ::step]
    luma = _luma(pixels)
    start = max(0, side - TEXTURE_SIDE) // 2 // BLOCK * BLOCK  # a border of JPEG's blocks, if there are any
    fine = np.s_[start : start + TEXTURE_SIDE, start : start + TEXTURE_SIDE]
    detailed = luma[:, *fine] if step == 1 else _luma(squares[:, :, *fine])
    together = zip(_colours(pixels, luma), _texture(detailed.astype(np.int16)), sizes, strict=True)
    return [{**colours, **texture, "bytes": float(size)} for colours, texture, size in together]


def _colours(pixels: NDArray[np.uint8], luma: Whole) -> Iterator[dict[str, float]]:
    reds, greens, blues = (pixels[:, channel] for channel in range(3))
    spread = np.maximum(np.maximum(reds, greens), blues)
    spread -= np.minimum(np.minimum(reds, greens), blues)
    count, high, wide = luma[0].size, luma.shape[1] // 4, luma.shape[2] // 4
    middle = luma[:, high : -high or None, wide : -wide or None]
    bins = _histograms(luma)  # every number of the luma comes from how often each value is there
    coarse = bins.reshape(len(bins), LEVELS, -1).sum(axis=2)
    sums = (_sums(reds), _sums(greens), _sums(blues), _sums(spread), _sums(middle), bins @ VALUES, bins @ VALUES**2)
    counts = (bins[:, :DARK].sum(axis=1), bins[:, BRIGHT:].sum(axis=1), np.einsum("nb,nb->n", coarse, coarse))
    for one in zip(*(numbers.tolist() for numbers in (*sums, *counts)), strict=True):
        red, green, blue, spreads, centre, total, squares, dark, bright, even = one
        yield {
            "brightness": total / (255 * count),
            "contrast": math.sqrt(count * squares - total * total) / (255 * count),
            "saturation": spreads / (255 * count),
            "warmth": (red - blue) / (255 * count),
            "greenness": (2 * green - red - blue) / (510 * count),
            "dark": dark / count,
            "bright": bright / count,
            "evenness": 1 - even / (count * count),
            "centre": centre / (255 * middle[0].size) - total / (255 * count),
        }


def _texture(luma: NDArray[np.int16]) -> Iterator[dict[str, float]]:
    across, down = luma[:, :, 1:] - luma[:, :, :-1], luma[:, 1:] - luma[:, :-1]
    bent_across, bent_down = across[:, :, 1:] - across[:, :, :-1], down[:, 1:] - down[:, :-1]
    saddles = bent_across[:, 2:] - 2 * bent_across[:, 1:-1] + bent_across[:, :-2]  # at most 2,040
    for differences in (across, down, bent_across, bent_down, saddles):
        np.abs(differences, out=differences)
    border_across, border_down = across[:, :, BLOCK - 1 :: BLOCK], down[:, BLOCK - 1 :: BLOCK]
    borders, size = border_across[0].size + border_down[0].size, across[0].size + down[0].size
    sums = (across, down, bent_across, bent_down, border_across, border_down, saddles)
    for one in zip(*(_sums(numbers).tolist() for numbers in sums), strict=True):
        horizontal, vertical, bent, bent_vertical, at_border, at_lower_border, saddle = one
        first, at_borders = horizontal + vertical, at_border + at_lower_border
        yield {
            "detail": _ratio(first, 255 * size, 0.0),
            "sharpness": _ratio(bent + bent_vertical, first, 0.0),
            "noise": IMMERKAER * _ratio(saddle, 255 * saddles[0].size, 0.0),
            "upright": _ratio(vertical, first, 0.5),
            "blocks": _ratio(at_borders * (size - borders), (first - at_borders) * borders, 1.0),
        }


def _histograms(luma: Whole) -> NDArray[np.int64]:
    """How often each of GREYS values is in each luma [n, h, w]: [n, GREYS]."""
    shifted = luma + np.arange(0, GREYS * len(luma), GREYS, dtype=np.int32)[:, None, None]
    found: NDArray[np.int64] = np.bincount(shifted.ravel(), minlength=GREYS * len(luma)).reshape(len(luma), GREYS)
    return found


def _sums(values: NDArray[np.int32] | NDArray[np.int16] | NDArray[np.uint8]) -> NDArray[np.int32]:
    """The sums [n] of [n, h, w]: of a million values below 2,048 they fit into 31 bits, and NumPy's 64 bits take longer."""
    found: NDArray[np.int32] = np.add.reduce(values, axis=(1, 2), dtype=np.int32)
    return found


def _luma(pixels: NDArray[np.uint8]) -> Whole:
    """The luma (ITU-R 601) of pixels uint8 [n, 3, h, w] in whole numbers, 0 to 255: int32 [n, h, w]."""
    red, green, blue = (pixels[:, channel].astype(np.int32) for channel in range(3))
    red *= 299  # in place: memory for another array takes as long as the sum
    green *= 587
    blue *= 114
    red += green
    red += blue
    red //= 1000
    return red


def _ratio(above: int, below: int, otherwise: float) -> float:
    return above / below if below else otherwise
