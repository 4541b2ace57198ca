"""Search for close pairs among 64-bit hashes, without the comparison of all pairs.

Multi-index hashing (Norouzi, Punjani and Fleet 2012, arXiv:1307.2982): the bits are divided into m bands. Two hashes that
differ in at most r bits differ in at most r // m bits of some band (pigeonhole principle), so only hashes with close bands are
compared. The number of bands is chosen by the number of hashes; the result does not depend on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

BITS = 64
BLOCK = 1 << 19
"""Candidate pairs per block: with the indexes of their hashes, about 40 MB."""
LOOKUP_COST = 8.0
"""Cost of a search for a band, in comparisons of two hashes."""

Hashes = NDArray[np.uint64]
Positions = NDArray[np.intp]


def pairs(hashes: Hashes, bits: int, bands: int | None = None) -> Iterator[tuple[Positions, Positions]]:
    """Yield all pairs i < j of positions whose hashes differ in at most `bits` bits, each once, in blocks of bounded size.

    Args:
        hashes: 64-bit hashes, uint64 [n].
        bits: largest Hamming distance, 0 to 64.
        bands: number of bands, 1 to `bits + 1`; by default the cheapest one.
    """
    if len(hashes) < 2:
        return
    bands = bands or cheapest(len(hashes), bits)
    searched = _searched(bands, bits)
    for number, (mask, radius) in enumerate(searched):
        for first, second in _close(hashes & mask, mask, radius):
            differ = hashes[first] ^ hashes[second]
            new = np.bitwise_count(differ) <= bits
            for earlier, near in searched[:number]:  # found in an earlier band
                new &= np.bitwise_count(differ & earlier) > near
            if new.any():
                first, second = first[new], second[new]
                yield np.minimum(first, second), np.maximum(first, second)


def sorted_pairs(hashes: Hashes, bits: int) -> list[tuple[int, int]]:
    """Return the pairs of `pairs` as a sorted list."""
    return sorted((i, j) for first, second in pairs(hashes, bits) for i, j in zip(first.tolist(), second.tolist(), strict=True))


def near_another(hashes: Hashes, bits: int) -> NDArray[np.bool_]:
    """Return which hashes are within `bits` of another one, bool [n]. Equal hashes are compared once."""
    distinct, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    found = counts > 1
    for first, second in pairs(distinct, bits) if bits else ():
        found[first] = found[second] = True
    return np.asarray(found[inverse])


def cheapest(count: int, bits: int) -> int:
    """Return the number of bands with the fewest lookups and comparisons for uniform hashes."""
    return min(range(1, min(bits, BITS - 1) + 2), key=lambda bands: _cost(count, bits, bands))


def _cost(count: int, bits: int, bands: int) -> float:
    cost = 0.0
    for mask, radius in _searched(bands, bits):
        width = mask.bit_count()
        lookups = sum(math.comb(width, ones) for ones in range(radius + 1))
        cost += lookups * (LOOKUP_COST + count / 2**width)
    return cost


def _searched(bands: int, bits: int) -> list[tuple[np.uint64, int]]:
    """Return mask and radius of each band (Norouzi et al., proposition 2); a band that need not be searched is left out.

    Neighbouring bits of perceptual hashes are correlated, so a band has every m-th bit.
    """
    radius, rest = divmod(bits, bands)
    masks = [sum(1 << bit for bit in range(band, BITS, bands)) for band in range(bands)]
    near = [radius if band <= rest else radius - 1 for band in range(bands)]
    return [(np.uint64(mask), most) for mask, most in zip(masks, near, strict=True) if most >= 0]


def _close(parts: Hashes, mask: np.uint64, radius: int) -> Iterator[tuple[Positions, Positions]]:
    """Yield the pairs of positions whose parts differ in at most `radius` bits of the mask, each once, in either order."""
    order = np.argsort(parts, kind="stable")
    values, starts, counts = np.unique(parts[order], return_index=True, return_counts=True)
    several = np.flatnonzero(counts > 1)
    for left, right in _products(starts, counts, several, several):
        before = left < right
        yield order[left[before]], order[right[before]]
    bits = [np.uint64(1 << bit) for bit in range(BITS) if int(mask) >> bit & 1]
    for ones in range(1, radius + 1):
        for chosen in combinations(bits, ones):
            flip = np.bitwise_or.reduce(np.array(chosen, dtype=np.uint64))
            others = values ^ flip
            below = np.flatnonzero(values < others)
            at = np.minimum(np.searchsorted(values, others[below]), len(values) - 1)
            known = values[at] == others[below]
            for left, right in _products(starts, counts, below[known], at[known]):
                yield order[left], order[right]


def _products(starts: Positions, counts: Positions, one: Positions, other: Positions) -> Iterator[tuple[Positions, Positions]]:
    """Yield the members of the products of runs `one[k]` × `other[k]`, in blocks."""
    ends = np.cumsum(counts[one] * counts[other])
    for at in range(0, int(ends[-1]) if len(ends) else 0, BLOCK):
        place = np.arange(at, min(at + BLOCK, int(ends[-1])))
        product = np.searchsorted(ends, place, side="right")
        width = counts[other[product]]
        row, column = np.divmod(place - ends[product] + counts[one[product]] * width, width)
        yield starts[one[product]] + row, starts[other[product]] + column
