"""Random draws with the same bytes on every machine.

The module draws only uniform integers and uniform floats. Both are pure integer arithmetic on a
PCG64 stream; normal, gamma or exponential draws would use the C library.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")


class Dice:
    """An independent stream of random numbers, identified by a tuple of integers."""

    def __init__(self, *key: int) -> None:
        self._stream = np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))

    def between(self, low: float, high: float) -> float:
        """Draw a uniform float in [low, high)."""
        return low + (high - low) * self._stream.random()

    def spread(self, low: float, high: float, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Draw an array of uniform floats in [low, high)."""
        return low + (high - low) * self._stream.random(shape)

    def integer(self, low: int, high: int) -> int:
        """Draw a uniform integer in [low, high]."""
        return low + int((high - low + 1) * self._stream.random())

    def bytes(self, below: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Draw an array of uniform integers in [0, below); `below` is at most 256."""
        return self._stream.integers(0, below, shape, dtype=np.uint8)

    def chance(self, probability: float) -> bool:
        """Draw True with the given probability."""
        return self._stream.random() < probability

    def pick(self, items: Sequence[Item]) -> Item:
        """Draw one of the items, all with equal probability."""
        return items[self.integer(0, len(items) - 1)]
