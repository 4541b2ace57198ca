"""Processed data for the later stages: memory-mapped arrays, one row per sample, and the task's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bitbloom.core import canonical
from bitbloom.core.digests import file_digest
from bitbloom.core.errors import BitBloomError

SPLITS = ("train", "val", "test")
Arrays = dict[str, NDArray[Any]]
"""Named arrays whose first axis is the sample."""
CHECKSUMS = "checksums.json"
"""File with the SHA-256 of every array of a folder, by file name."""


@dataclass(frozen=True)
class Dataset:
    """Samples of all splits, including excluded ones.

    Attributes:
        arrays: name → array [N, …], memory-mapped (`images` uint8 [N, 3, side, side], `labels` int64 [N], …).
        samples: N rows in the order of the arrays: id, label, key (64 hex digits), split, excluded, reason.
        meta: the task's metadata (`classes`: names in the order of the label indexes).
    """

    arrays: Mapping[str, NDArray[Any]]
    samples: pd.DataFrame
    meta: dict[str, Any]

    @classmethod
    def open(cls, folder: Path, *more: Path) -> Dataset:
        """Map a folder written by `save`, and the arrays of additional folders.

        Raises:
            BitBloomError: an array is missing, is not recorded, or does not have its recorded SHA-256.
        """
        files = [path for source in (folder, *more) for path in verified_arrays(source)]
        arrays = {path.stem: np.load(path, mmap_mode="r") for path in files}
        return cls(arrays, pd.read_parquet(folder / "samples.parquet"), canonical.read_json(folder / "meta.json"))

    def save(self, folder: Path) -> None:
        """Write the arrays, `samples.parquet` and `meta.json` atomically."""
        with canonical.replacing_folder(folder) as temporary:
            for name, array in self.arrays.items():
                np.save(temporary / f"{name}.npy", np.ascontiguousarray(array))
            write_checksums(temporary)
            self.samples.to_parquet(temporary / "samples.parquet", index=False)
            canonical.write_json(temporary / "meta.json", self.meta)

    def split(self, name: str) -> NDArray[np.int64]:
        """Return the positions of a split's included samples, ascending."""
        chosen = (self.samples["split"] == name) & ~self.samples["excluded"]
        return np.flatnonzero(chosen.to_numpy()).astype(np.int64)

    def take(self, positions: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return copies of the arrays of some samples."""
        return {name: np.asarray(array[positions]) for name, array in self.arrays.items()}

    def sample_seeds(self) -> NDArray[np.uint64]:
        """Return the first 64 bits of each sample's key, [N], which do not depend on other samples."""
        return np.array([int(key[:16], 16) for key in self.samples["key"]], dtype=np.uint64)


def write_checksums(folder: Path) -> None:
    """Record the SHA-256 of every array of a folder in its `checksums.json`."""
    canonical.write_json(folder / CHECKSUMS, {path.name: file_digest(path) for path in sorted(folder.glob("*.npy"))})


def verified_arrays(folder: Path) -> list[Path]:
    """Return the files of a folder's arrays by name, after a comparison with its `checksums.json`: a pass over their bytes.

    Raises:
        BitBloomError: an array is missing, is not recorded, or does not have its recorded SHA-256.
    """
    try:
        recorded = canonical.read_json(folder / CHECKSUMS)
    except FileNotFoundError as error:
        raise BitBloomError(f"{folder} has no {CHECKSUMS}: delete the folder, and build it again with `make data`") from error
    files = sorted(folder.glob("*.npy"))
    found = {path.name: file_digest(path) for path in files}
    for name in sorted({*recorded, *found}):
        if found.get(name) != recorded.get(name):
            problem = "is missing" if name not in found else "is not recorded" if name not in recorded else "is damaged"
            raise BitBloomError(f"{folder / name} {problem} according to {CHECKSUMS}: delete {folder}, and build it again")
    return files
