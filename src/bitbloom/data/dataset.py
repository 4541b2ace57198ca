"""Processed data as the later stages read it: memory-mapped arrays, one row a sample, and what the task noted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bitbloom.core import canonical

SPLITS = ("train", "val", "test")
Arrays = dict[str, NDArray[Any]]
"""Named arrays whose first axis is the sample."""


@dataclass(frozen=True)
class Dataset:
    """Samples of all splits, excluded ones too.

    Attributes:
        arrays: name → array [N, …], memory-mapped (`images` uint8 [N, 3, side, side], `labels` int64 [N], …).
        samples: N rows in the order of the arrays: id, label, key (64 hex digits), split, excluded, reason.
        meta: what the task noted (`classes`: names in the order of the label indexes).
    """

    arrays: Mapping[str, NDArray[Any]]
    samples: pd.DataFrame
    meta: dict[str, Any]

    @classmethod
    def open(cls, folder: Path, *more: Path) -> Dataset:
        """Map a folder written by `save`, and the arrays of more folders beside its own."""
        files = (path for place in (folder, *more) for path in sorted(place.glob("*.npy")))
        arrays = {path.stem: np.load(path, mmap_mode="r") for path in files}
        return cls(arrays, pd.read_parquet(folder / "samples.parquet"), canonical.read_json(folder / "meta.json"))

    def save(self, folder: Path) -> None:
        """Write the arrays, `samples.parquet` and `meta.json`, whole or not at all."""
        with canonical.replacing_folder(folder) as temporary:
            for name, array in self.arrays.items():
                np.save(temporary / f"{name}.npy", np.ascontiguousarray(array))
            self.samples.to_parquet(temporary / "samples.parquet", index=False)
            canonical.write_json(temporary / "meta.json", self.meta)

    def split(self, name: str) -> NDArray[np.int64]:
        """Positions of a split's included samples, ascending."""
        chosen = (self.samples["split"] == name) & ~self.samples["excluded"]
        return np.flatnonzero(chosen.to_numpy()).astype(np.int64)

    def take(self, positions: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Copies of some samples' arrays."""
        return {name: np.asarray(array[positions]) for name, array in self.arrays.items()}

    def sample_seeds(self) -> NDArray[np.uint64]:
        """[N] The first 64 bits of each sample's key: the same for a sample whatever else the data holds."""
        return np.array([int(key[:16], 16) for key in self.samples["key"]], dtype=np.uint64)
