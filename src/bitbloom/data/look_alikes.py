"""Pairs of photos that look alike, for the splits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bitbloom.core.progress import track
from bitbloom.data import hamming, imaging
from bitbloom.data.imaging import THUMBNAIL, Pixels

if TYPE_CHECKING:
    import pandas as pd

    from bitbloom.config.sections.prepare import Prepare

PAIR_BLOCK = 65_536
"""Candidate pairs per block of thumbnails: 65,536 × 256 int16 are 34 MB."""


def look_alikes(rows: pd.DataFrame, raw: Sequence[bytes], prepare: Prepare) -> list[tuple[int, int]]:
    """Return pairs of similar photos: close perceptual hashes, confirmed by 16×16 grey thumbnails.

    Only photos with a close hash are decoded.
    """
    hashes = np.fromiter((int(value, 16) for value in rows["perceptual_hash"]), np.uint64, len(rows))
    candidates = np.flatnonzero(hamming.near_another(hashes, prepare.near_duplicate_bits))
    thumbnails = np.empty((len(candidates), THUMBNAIL, THUMBNAIL), np.uint8)
    for place, position in enumerate(track(candidates.tolist(), "compare look-alikes")):
        thumbnails[place] = imaging.thumbnail(imaging.decode(raw[position]))
    found = near_duplicates(hashes[candidates], thumbnails, prepare.near_duplicate_bits, prepare.near_duplicate_difference)
    return [(int(candidates[i]), int(candidates[j])) for i, j in found]


def near_duplicates(hashes: NDArray[np.uint64], thumbnails: Pixels, bits: int, difference: float) -> list[tuple[int, int]]:
    """Return all pairs i < j of nearly equal images, sorted.

    Args:
        hashes: difference hashes [n].
        thumbnails: grey thumbnails [n, 16, 16].
        bits: largest Hamming distance of the hashes of a candidate pair.
        difference: largest mean absolute difference (0 to 255) of the thumbnails of a pair.
    """
    cells = THUMBNAIL * THUMBNAIL
    flat = thumbnails.reshape(-1, cells)
    pairs: list[tuple[int, int]] = []
    for firsts, seconds in hamming.pairs(hashes, bits):
        for at in range(0, len(firsts), PAIR_BLOCK):
            first, second = firsts[at : at + PAIR_BLOCK], seconds[at : at + PAIR_BLOCK]
            distance = np.abs(flat[first].astype(np.int16) - flat[second]).sum(axis=1, dtype=np.int64)
            close = distance <= difference * cells
            pairs.extend(zip(first[close].tolist(), second[close].tolist(), strict=True))
    return sorted(pairs)
