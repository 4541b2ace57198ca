"""Whether an input is of a known class: the distance of its embedding to those of validation samples (Sun et al. 2022,
arXiv:2204.06507).

    known = Familiar.beside(Path("models/petals/model.onnx"))
    known.distance(embedding) <= known.threshold

The references are embeddings of the validation split, in the model's `familiar.npy`. Training does not see them: a network is
fitted so closely to the training split that any other photo would look strange beside it. They are also in `reference.parquet`,
but a service that keeps no prediction log starts without PyArrow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError

Vectors = NDArray[np.floating]
KINDS = ("image",)
"""The kinds of models whose services compare an input with known ones; the export stage writes FAMILIAR for these."""
NEIGHBOURS = 5
"""Which of the nearest references gives the distance."""
REFERENCES = 300
"""Largest number of references: the distance to them takes microseconds, and they are in the memory of every service."""
KNOWN = 0.95
"""Fraction of the references that the threshold accepts, each compared with the others."""
FAMILIAR = "familiar.npy"
"""The file of a model's references, beside its graph."""


@dataclass(frozen=True)
class Familiar:
    """Embeddings of unit length, float32 [r, d], and the largest distance of a known input."""

    references: Vectors
    threshold: float

    @classmethod
    def of(cls, references: Vectors) -> Familiar | None:
        """With the references of `chosen`; None for too few, because each is compared with NEIGHBOURS others."""
        if len(references) <= NEIGHBOURS:
            return None
        exact = np.asarray(references, np.float64)
        return cls(references, threshold(distances(exact, exact, NEIGHBOURS + 1)))  # the nearest one is the sample itself

    @classmethod
    def beside(cls, path: Path) -> Familiar | None:
        """With the file beside a model file, or in its folder, mapped into memory; None without one or with too few.

        Raises:
            BitBloomError: the file cannot be read.
        """
        file = (path if path.is_dir() else path.parent) / FAMILIAR
        return cls.of(read(file)) if file.is_file() else None

    def distance(self, embedding: Vectors) -> float:
        """Distance of an embedding [d] to its NEIGHBOURS-th nearest reference, 0 to 2."""
        return float(distances(units(embedding[None]), self.references, NEIGHBOURS)[0])


def chosen(embeddings: Vectors | None) -> NDArray[np.float32]:
    """At most REFERENCES of embeddings [n, d], evenly chosen, with unit length: float32 [r, d]; [0, 0] for None.

    The lengths are sums without an error of rounding, so that equal embeddings give equal bytes on every CPU.
    """
    if embeddings is None or not len(embeddings):
        return np.zeros((0, 0), np.float32)
    rows = np.linspace(0, len(embeddings) - 1, min(REFERENCES, len(embeddings))).astype(np.int64)
    vectors = np.asarray(embeddings[rows], np.float64)
    lengths = np.array([math.sqrt(math.fsum(row)) for row in vectors**2])
    references: NDArray[np.float32] = (vectors / np.maximum(lengths, 1e-12)[:, None]).astype(np.float32)
    return references


def write(path: Path, references: NDArray[np.float32]) -> None:
    """Write the references of `chosen` atomically."""
    with canonical.replacing(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, references, allow_pickle=False)


def read(path: Path) -> Vectors:
    """Map the references of a file, float32 [r, d], which the processes of a machine share. Raises BitBloomError."""
    try:
        references = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BitBloomError(f"{path} cannot be read as an array ({error}): `make export TARGET=…` makes it") from error
    if references.ndim != 2 or references.dtype != np.float32:
        raise BitBloomError(f"{path} has no float32 rows but {references.dtype} {references.shape}: export it again")
    return np.asarray(references)  # still mapped, without the cost of a memmap's own operations


def units(vectors: Vectors) -> Vectors:
    """The vectors [n, d] with unit length."""
    scaled: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return scaled


def distances(queries: Vectors, references: Vectors, k: int) -> Vectors:
    """Distance [n] of unit vectors [n, d] to their k-th nearest reference [r, d], k ≤ r."""
    nearest = np.partition(queries @ references.T, len(references) - k, axis=1)[:, len(references) - k]
    found: Vectors = np.sqrt(np.maximum(2 - 2 * nearest, 0))
    return found


def threshold(own: Vectors) -> float:
    """The smallest of the distances [n] that a fraction KNOWN of them does not exceed."""
    return float(np.sort(own)[int(np.ceil(KNOWN * len(own))) - 1])
