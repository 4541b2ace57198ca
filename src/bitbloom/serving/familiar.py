"""Whether an input is of a known class: the distance of its embedding to those of validation samples (Sun et al. 2022,
arXiv:2204.06507).

    known = Familiar.beside(Path("models/petals/model.onnx"))
    known.distance(embedding) <= known.threshold

The references are those of the model's `reference.parquet`. Training does not see them. A network
is fitted so closely to the training split that any other photo would look strange beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.floating]
NEIGHBOURS = 5
"""Which of the nearest references gives the distance."""
REFERENCES = 300
"""Largest number of references: the distance to them takes microseconds, and they are in the memory of every service."""
KNOWN = 0.95
"""Fraction of the references that the threshold accepts, each compared with the others."""
REFERENCE = "reference.parquet"


@dataclass(frozen=True)
class Familiar:
    """Embeddings of unit length [r, d], and the largest distance of a known input."""

    references: Vectors
    threshold: float

    @classmethod
    def of(cls, embeddings: Vectors) -> Familiar | None:
        """Of the embeddings [n, d] of known inputs, evenly chosen; None for too few."""
        if len(embeddings) <= NEIGHBOURS:
            return None
        chosen = np.linspace(0, len(embeddings) - 1, min(REFERENCES, len(embeddings))).astype(np.int64)
        references = units(np.asarray(embeddings, np.float64)[chosen])
        return cls(references.astype(np.float32), threshold(distances(references, references, NEIGHBOURS + 1)))

    @classmethod
    def beside(cls, path: Path) -> Familiar | None:
        """Of the reference beside a model file, or in its folder; None without one, without embeddings or without PyArrow."""
        file = (path if path.is_dir() else path.parent) / REFERENCE
        if not file.is_file():
            return None
        try:
            from bitbloom.drift.observations import Observations
        except ModuleNotFoundError as error:
            if error.name != "pyarrow":
                raise
            return None
        embeddings = Observations.read([file]).embeddings
        return None if embeddings is None else cls.of(embeddings)

    def distance(self, embedding: Vectors) -> float:
        """Distance of an embedding [d] to its NEIGHBOURS-th nearest reference, 0 to 2."""
        return float(distances(units(embedding[None]), self.references, NEIGHBOURS)[0])


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
