"""Numbers of a photo: light, colour, texture, and the size of its file."""

from __future__ import annotations

import math

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
    side = square.shape[1]
    step = max(1, side // COLOUR_SIDE)
    pixels = square[:, ::step, ::step]
    luma = _luma(pixels)
    start = max(0, side - TEXTURE_SIDE) // 2 // BLOCK * BLOCK  # a border of JPEG's blocks, if there are any
    fine = np.s_[start : start + TEXTURE_SIDE, start : start + TEXTURE_SIDE]
    detailed = luma[fine] if step == 1 else _luma(square[:, *fine])
    return {**_colours(pixels, luma), **_texture(detailed), "bytes": float(size_bytes)}


def _colours(pixels: NDArray[np.uint8], luma: Whole) -> dict[str, float]:
    red, green, blue = (_sum(channel) for channel in pixels)
    lowest, highest = np.minimum(*pixels[:2]), np.maximum(*pixels[:2])
    spread = _sum(np.maximum(highest, pixels[2]) - np.minimum(lowest, pixels[2]))
    bins = np.bincount(luma.ravel(), minlength=GREYS)  # every number of the luma comes from how often each value is there
    count, total = luma.size, int(bins @ VALUES)
    squares = int(bins @ VALUES**2)
    middle = luma[len(luma) // 4 : -(len(luma) // 4) or None, luma.shape[1] // 4 : -(luma.shape[1] // 4) or None]
    coarse = bins.reshape(LEVELS, -1).sum(axis=1)
    return {
        "brightness": total / (255 * count),
        "contrast": math.sqrt(count * squares - total * total) / (255 * count),
        "saturation": spread / (255 * count),
        "warmth": (red - blue) / (255 * count),
        "greenness": (2 * green - red - blue) / (510 * count),
        "dark": int(bins[:DARK].sum()) / count,
        "bright": int(bins[BRIGHT:].sum()) / count,
        "evenness": 1 - int(coarse @ coarse) / (count * count),
        "centre": _sum(middle) / (255 * middle.size) - total / (255 * count),
    }


def _texture(luma: Whole) -> dict[str, float]:
    across, down = luma[:, 1:] - luma[:, :-1], luma[1:] - luma[:-1]
    bent_across, bent_down = across[:, 1:] - across[:, :-1], down[1:] - down[:-1]
    saddles = np.abs(bent_across[2:] - 2 * bent_across[1:-1] + bent_across[:-2])
    across, down = np.abs(across), np.abs(down)
    horizontal, vertical = _sum(across), _sum(down)
    first, second = horizontal + vertical, _sum(np.abs(bent_across)) + _sum(np.abs(bent_down))
    at_borders = _sum(across[:, BLOCK - 1 :: BLOCK]) + _sum(down[BLOCK - 1 :: BLOCK])
    borders = across[:, BLOCK - 1 :: BLOCK].size + down[BLOCK - 1 :: BLOCK].size
    within, places = first - at_borders, across.size + down.size - borders
    return {
        "detail": _ratio(first, 255 * (across.size + down.size), 0.0),
        "sharpness": _ratio(second, first, 0.0),
        "noise": IMMERKAER * _ratio(_sum(saddles), 255 * saddles.size, 0.0),
        "upright": _ratio(vertical, first, 0.5),
        "blocks": _ratio(at_borders * places, within * borders, 1.0),
    }


def _sum(values: NDArray[np.int32] | NDArray[np.uint8]) -> int:
    """The sum of at most a million values below 2,048, which fits into 31 bits: NumPy's 64 bits take longer."""
    return int(np.add.reduce(values, axis=None, dtype=np.int32))


def _luma(pixels: NDArray[np.uint8]) -> Whole:
    """The luma (ITU-R 601) of pixels uint8 [3, h, w] in whole numbers, 0 to 255: int32 [h, w]."""
    red, green, blue = pixels.astype(np.int32)
    luma: Whole = (299 * red + 587 * green + 114 * blue) // 1000
    return luma


def _ratio(above: int, below: int, otherwise: float) -> float:
    return above / below if below else otherwise
