"""Random draws that are the same bytes on every machine.

Only uniform integers and uniform floats are ever taken from the generator. Both are pure integer
arithmetic on a PCG64 stream; normal, gamma or exponential draws would go through the C library.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")


class Dice:
    """One independent stream of random numbers, named by a tuple of integers."""

    def __init__(self, *key: int) -> None:
        self._stream = np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))

    def between(self, low: float, high: float) -> float:
        """One uniform float in [low, high)."""
        return low + (high - low) * self._stream.random()

    def spread(self, low: float, high: float, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """An array of uniform floats in [low, high)."""
        return low + (high - low) * self._stream.random(shape)

    def integer(self, low: int, high: int) -> int:
        """One uniform integer, both ends included."""
        return low + int((high - low + 1) * self._stream.random())

    def bytes(self, below: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """An array of uniform integers in [0, below), below being 256 at most."""
        return self._stream.integers(0, below, shape, dtype=np.uint8)

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self._stream.random() < probability

    def pick(self, items: Sequence[Item]) -> Item:
        """One of the items, all equally likely."""
        return items[self.integer(0, len(items) - 1)]
