"""Random numbers that depend only on their purpose.

A draw is a pure function of (seed, …, position), computed in 64-bit integers. It is the same on every machine, in every
order and in every worker. The mixing function is SplitMix64 (Steele, Lea and Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def mix(words: Words) -> Words:
    """Apply SplitMix64's output function elementwise: uint64 [n] to uint64 [n], a bijection."""
    with np.errstate(over="ignore"):
        words = words + _GAMMA
        words = (words ^ (words >> np.uint64(30))) * _FIRST
        words = (words ^ (words >> np.uint64(27))) * _SECOND
    return words ^ (words >> np.uint64(31))


def derive(words: Words | int, *names: Words | int) -> Words:
    """Derive seeds from the seeds `words` and from `names` (epoch, position, purpose, …); broadcasts like NumPy."""
    seeds = mix(np.asarray(words, dtype=np.uint64))
    for name in names:
        seeds = mix(seeds ^ np.asarray(name, dtype=np.uint64))
    return seeds


def integers(words: Words, low: int, high: int) -> NDArray[np.int64]:
    """Draw integers in [low, high], one per seed. The bias is below 2^-32 for ranges below 2^32."""
    span = np.uint64(high - low + 1)
    with np.errstate(over="ignore"):
        scaled = ((words >> np.uint64(32)) * span) >> np.uint64(32)
    return scaled.astype(np.int64) + low


def below(words: Words, limits: NDArray[np.int64]) -> NDArray[np.int64]:
    """Draw integers in [0, limit), one per seed, each with its own limit (positive, below 2^31)."""
    return ((words >> np.uint64(33)) * limits.astype(np.uint64) >> np.uint64(31)).astype(np.int64)


def units(words: Words) -> NDArray[np.float32]:
    """Draw multiples of 2^-16 in [0, 1), exact in float32, one per seed."""
    return (words >> np.uint64(48)).astype(np.float32) / np.float32(65536)


def happens(words: Words, probability: float) -> NDArray[np.bool_]:
    """Draw True with this probability, one per seed: never for 0, always for 1."""
    return units(words) < probability
