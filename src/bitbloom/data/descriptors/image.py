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
DARK, BRIGHT, LEVELS = 16, 240, 32
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
    return {**_colours(square), **_texture(square), "bytes": float(size_bytes)}


def _colours(square: NDArray[np.uint8]) -> dict[str, float]:
    step = max(1, square.shape[1] // COLOUR_SIDE)
    pixels = square[:, ::step, ::step].astype(np.int32)
    luma = _luma(pixels)
    red, green, blue = (int(channel.sum()) for channel in pixels)
    spread = int((pixels.max(axis=0) - pixels.min(axis=0)).sum())
    count, total = luma.size, int(luma.sum())
    squares = int(np.einsum("ij,ij->", luma, luma, dtype=np.int64))
    bins = np.bincount((luma >> 3).ravel(), minlength=LEVELS)
    middle = luma[len(luma) // 4 : -(len(luma) // 4) or None, luma.shape[1] // 4 : -(luma.shape[1] // 4) or None]
    return {
        "brightness": total / (255 * count),
        "contrast": math.sqrt(count * squares - total * total) / (255 * count),
        "saturation": spread / (255 * count),
        "warmth": (red - blue) / (255 * count),
        "greenness": (2 * green - red - blue) / (510 * count),
        "dark": int((luma < DARK).sum()) / count,
        "bright": int((luma >= BRIGHT).sum()) / count,
        "evenness": 1 - int((bins.astype(np.int64) ** 2).sum()) / (count * count),
        "centre": int(middle.sum()) / (255 * middle.size) - total / (255 * count),
    }


def _texture(square: NDArray[np.uint8]) -> dict[str, float]:
    start = max(0, square.shape[1] - TEXTURE_SIDE) // 2 // BLOCK * BLOCK  # a border of JPEG's blocks, if there are any
    luma = _luma(square[:, start : start + TEXTURE_SIDE, start : start + TEXTURE_SIDE].astype(np.int32))
    across, down = np.diff(luma, axis=1), np.diff(luma, axis=0)
    bent_across, bent_down = np.diff(across, axis=1), np.diff(down, axis=0)
    saddles = np.abs(np.diff(bent_across, n=2, axis=0))
    across, down = np.abs(across), np.abs(down)
    horizontal, vertical = int(across.sum()), int(down.sum())
    first, second = horizontal + vertical, int(np.abs(bent_across).sum()) + int(np.abs(bent_down).sum())
    at_borders = int(across[:, BLOCK - 1 :: BLOCK].sum()) + int(down[BLOCK - 1 :: BLOCK].sum())
    borders = across[:, BLOCK - 1 :: BLOCK].size + down[BLOCK - 1 :: BLOCK].size
    within, places = first - at_borders, across.size + down.size - borders
    return {
        "detail": _ratio(first, 255 * (across.size + down.size), 0.0),
        "sharpness": _ratio(second, first, 0.0),
        "noise": IMMERKAER * _ratio(int(saddles.sum()), 255 * saddles.size, 0.0),
        "upright": _ratio(vertical, first, 0.5),
        "blocks": _ratio(at_borders * places, within * borders, 1.0),
    }


def _luma(pixels: Whole) -> Whole:
    """The luma (ITU-R 601) of pixels int32 [3, h, w] in whole numbers, 0 to 255: [h, w]."""
    luma: Whole = (299 * pixels[0] + 587 * pixels[1] + 114 * pixels[2]) // 1000
    return luma


def _ratio(above: int, below: int, otherwise: float) -> float:
    return above / below if below else otherwise
