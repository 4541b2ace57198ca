"""The sampler: a stream of shuffled epochs, cut into batches, as a pure function of the seed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bitbloom.numerics import seeds


@dataclass(frozen=True)
class Stream:
    """Epochs of `positions`, each in its own order; a batch may span two epochs.

    Attributes:
        positions: int64 [n] of the training samples in the data set.
        keys: uint64 [n], one per sample, independent of the other samples.
        seed: `train.seed`.
        batch_size: samples per step.
    """

    positions: NDArray[np.int64]
    keys: NDArray[np.uint64]
    seed: int
    batch_size: int
    _orders: dict[int, NDArray[np.int64]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def steps(self, epochs: int) -> int:
        """Return the number of steps in which every sample occurs `epochs` times, rounded up."""
        return -(-epochs * len(self.positions) // self.batch_size)

    def epochs_done(self, steps: int) -> int:
        """Return the number of complete epochs after this number of steps."""
        return steps * self.batch_size // len(self.positions)

    def batch(self, step: int, first: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Return positions and augmentation seeds, [count] each, of samples first … first + count - 1 of a step (from 0)."""
        indices = np.arange(count) + step * self.batch_size + first
        epochs, offsets = np.divmod(indices, len(self.positions))
        chosen = np.empty(count, dtype=np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            chosen[here] = self._order(int(epoch))[offsets[here]]
        return self.positions[chosen], seeds.derive(self.keys[chosen], self.seed, epochs.astype(np.uint64))

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Return the permutation of an epoch, sorted by a hash of (key, seed, epoch); cached for its micro-batches."""
        if epoch not in self._orders:
            if len(self._orders) == 2:  # a batch may span two
                del self._orders[min(self._orders)]
            self._orders[epoch] = np.argsort(seeds.derive(self.keys, self.seed, epoch, 1), kind="stable")
        return self._orders[epoch]
