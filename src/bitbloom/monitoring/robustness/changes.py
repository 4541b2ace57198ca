"""Changes of photos that a person hardly notices, and changes that remove or alter the subject. All are integer arithmetic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
"""uint8 [n, 3, S, S]."""


def flipped(images: Images) -> Images:
    """Mirror photos left to right."""
    return np.ascontiguousarray(images[:, :, :, ::-1])


def brighter(images: Images, percent: int) -> Images:
    """Multiply the brightness by 1 + percent / 100."""
    return (images.astype(np.int64) * (100 + percent) // 100).clip(0, 255).astype(np.uint8)


def shifted(images: Images, part: float) -> Images:
    """Move photos to the right and down by a fraction of their side; the edge repeats."""
    step = max(1, round(part * images.shape[-1]))
    return np.pad(images, ((0, 0), (0, 0), (step, 0), (step, 0)), mode="edge")[:, :, : images.shape[2], : images.shape[3]]


def covered(images: Images, part: float) -> Images:
    """Cover a square in the centre, with this fraction of the side, by the photo's mean colour."""
    side = images.shape[-1]
    size = round(part * side)
    start = (side - size) // 2
    found = images.copy()
    found[:, :, start : start + size, start : start + size] = _mean(images)
    return found


def plain(images: Images) -> Images:
    """Replace each photo by its mean colour."""
    return np.broadcast_to(_mean(images), images.shape).copy()


def mixed_tiles(images: Images, tiles: int) -> Images:
    """Exchange the tiles of photos: the same colours and edges, and no shape."""
    side = images.shape[-1] // tiles
    order = np.random.Generator(np.random.PCG64(tiles)).permutation(tiles * tiles)
    found = images.copy()
    for to, start in enumerate(order.tolist()):
        (y, x), (v, u) = (divmod(place, tiles) for place in (to, start))
        found[:, :, y * side : (y + 1) * side, x * side : (x + 1) * side] = images[
            :, :, v * side : (v + 1) * side, u * side : (u + 1) * side
        ]
    return found


def turned_colours(images: Images) -> Images:
    """Exchange the channels cyclically: red becomes green, green blue, blue red."""
    return np.ascontiguousarray(images[:, [2, 0, 1]])


def _mean(images: Images) -> Images:
    pixels = images.shape[2] * images.shape[3]
    means: Images = (images.sum(axis=(2, 3), keepdims=True, dtype=np.int64) // pixels).astype(np.uint8)
    return means
