"""Facts about a photo for the manifest, from which the gate finds photos of poor quality.

All values come from integers: counts, sums and percentiles, and at most one division. So they are the same on every CPU.
Sharpness and noise are measured on a copy of at most SIDE pixels a side, because a model sees no finer detail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bitbloom.core.errors import UnreadableImage
from bitbloom.data import imaging

if TYPE_CHECKING:
    from bitbloom.data.imaging import Photo, Pixels

SIDE = 256
"""Largest side of the copy for sharpness and noise, pixels."""
GREYS, LEVELS = 256, 32
LOW, HIGH = 5, 99
"""Percentiles of the luma: the first is high in an overexposed photo, the second low in an underexposed one."""
STEEP = 99
"""Percentile of the differences of neighbours that counts as an edge."""
LEVEL = 10
"""Largest difference of the luma within a margin of one colour: JPEG changes it by as much."""
STEP, NEAR, UNDECODED = 24, 3, 128
"""Smallest difference of a margin and the photo, lines in which it shows, and the grey that decoders leave below the end of a
file."""
IMMERKAER = 1.2533141373155003 / 6
"""√(π/2) / 6: from the mean absolute response to the deviation of the noise (Immerkær 1996, doi:10.1006/cviu.1996.0060)."""
CELLS = 8
"""Side of the thumbnail, which has CELLS × CELLS grey values of four bits."""
ENDS: dict[str, Callable[[bytes], bool]] = {
    "JPEG": lambda data: data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda"),
    "PNG": lambda data: b"IEND" in data[-64:] or data.rfind(b"IEND") > data.rfind(b"IDAT"),
    "GIF": lambda data: data.rstrip(b"\0").endswith(b";"),
    "WEBP": lambda data: len(data) >= int.from_bytes(data[4:8], "little") + 8,
}
"""Format → whether a file has its end marker (JPEG: after the last scan), or the bytes that its header names."""
NOTHING: dict[str, object] = {
    "format": "",
    "orientation": 1,
    "complete": False,
    "shadows": 0.0,
    "highlights": 0.0,
    "variety": 0.0,
    "saturation": 0.0,
    "sharpness": 0.0,
    "noise": 0.0,
    "margin": 0.0,
    "thumbnail": "",
}
"""The columns of this module for a file that cannot be decoded."""


def describe(data: bytes) -> dict[str, object]:
    """Return all manifest columns of an image file. Raises no error: `decodable` is False and `error` has the reason."""
    try:
        photo = imaging.read(data)
    except UnreadableImage as error:
        return {**imaging.undecodable(data, str(error)), **NOTHING}
    return {**imaging.facts_of(photo), **_quality(photo, data)}


def _quality(photo: Photo, data: bytes) -> dict[str, object]:
    image = Image.fromarray(photo.pixels)
    grey = image.convert("L")
    counts = np.array(grey.histogram(), np.int64)
    small = np.asarray(_reduced(grey), np.int32)
    return {
        "format": photo.format,
        "orientation": photo.orientation,
        "complete": ENDS.get(photo.format, bool)(data),
        "shadows": _percentile(counts, LOW) / (GREYS - 1),
        "highlights": _percentile(counts, HIGH) / (GREYS - 1),
        "variety": variety(counts),
        "saturation": saturation(np.asarray(_reduced(image))),
        "sharpness": sharpness(small),
        "noise": noise(small),
        "margin": margin(np.asarray(grey)),
        "thumbnail": thumbnail(grey),
    }


def _reduced(image: Image.Image) -> Image.Image:
    """Return the image with sides of at most SIDE pixels, by means over squares, in Pillow's fixed-point arithmetic."""
    factor = -(-max(image.size) // SIDE)
    return image if factor == 1 else image.reduce(factor)


def _percentile(counts: NDArray[np.int64], percent: int) -> int:
    """Return the smallest value that at least `percent` % of the values do not exceed, from the counts of each value."""
    return int(np.searchsorted(100 * np.cumsum(counts), percent * int(counts.sum())))


def variety(counts: NDArray[np.int64]) -> float:
    """Return 1 minus the sum of squares of a histogram of LEVELS bins: the probability that two pixels differ, 0 to 1."""
    bins = counts.reshape(LEVELS, -1).sum(axis=1)
    same, pixels = int(bins @ bins), int(bins.sum())
    return 1 - same / (pixels * pixels)


def saturation(pixels: Pixels) -> float:
    """Return the mean difference of the largest and the smallest channel, 0 to 1, of pixels [H, W, 3]."""
    lowest = np.minimum(np.minimum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])
    highest = np.maximum(np.maximum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])
    total = int((highest - lowest).sum(dtype=np.int64))
    return total / (255 * lowest.size)


def sharpness(luma: NDArray[np.int32]) -> float:
    """Return the steepest changes of slope relative to the steepest slopes, of a luma [H, W].

    An edge over n pixels has slopes of 1/n and changes of slope of 1/n², so the ratio falls with blur, but not with contrast.
    The values are sums over squares: the edges of a faint photo have a few levels of grey, and single pixels would round them to
    steps that look sharp.
    """
    slopes, bends = [], []
    for values in (luma, luma.T):
        slope = np.diff(_sums(values), axis=1)
        slopes.append(np.abs(slope).ravel())
        bends.append(np.abs(np.diff(slope, axis=1)).ravel())
    steepest = _percentile(np.bincount(np.concatenate(slopes)), STEEP)
    return _percentile(np.bincount(np.concatenate(bends)), STEEP) / steepest if steepest else 0.0


def _sums(values: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the sums over three neighbours across and two along the second axis, [H - 2, W - 1]: slopes along it stay steep."""
    across = values[2:] + values[1:-1] + values[:-2]
    sums: NDArray[np.int32] = across[:, 1:] + across[:, :-1]
    return sums


def noise(luma: NDArray[np.int32]) -> float:
    """Return the estimated deviation of the noise of a luma [H, W], 0 to 1."""
    if min(luma.shape) < 3:
        return 0.0
    rows = luma[2:] - 2 * luma[1:-1] + luma[:-2]
    response: NDArray[np.int32] = np.abs(rows[:, 2:] - 2 * rows[:, 1:-1] + rows[:, :-2])
    total = int(response.sum(dtype=np.int64))
    deviation: float = IMMERKAER * total / (255 * response.size)
    return deviation


def margin(luma: Pixels) -> float:
    """Return the fraction of the area in margins of one grey at the edges: letterboxes, frames, a part that was never decoded.

    Beside a margin, most pixels differ from it. A flower before a black wall has no such line.
    """
    height, width = luma.shape
    down, across = (_margin(lines) + _margin(lines[::-1]) for lines in (luma, luma.T))
    kept = max(height - down, 0) * max(width - across, 0)
    fraction: float = 1 - kept / (height * width)
    return fraction


def _margin(lines: Pixels) -> int:
    """Return the number of lines of one grey before the first line that mostly differs from them, of lines [n, length]."""
    uneven = np.flatnonzero(lines.max(axis=1).astype(np.int32) - lines.min(axis=1) > LEVEL)
    if not len(uneven) or not uneven[0]:
        return 0
    first = int(uneven[0])
    colour = int(lines[0, 0])
    differs = np.abs(lines[first : first + NEAR].astype(np.int32) - colour) > STEP
    beside = (2 * differs.sum(axis=1) > lines.shape[1]).any()
    return first if beside or abs(colour - UNDECODED) <= 1 else 0


def thumbnail(grey: Image.Image) -> str:
    """Return the means of a grid of CELLS × CELLS cells, one hexadecimal digit each, row by row."""
    cells = np.asarray(grey.resize((CELLS, CELLS), Image.Resampling.BOX))
    return "".join(f"{value >> 4:x}" for value in cells.ravel().tolist())
