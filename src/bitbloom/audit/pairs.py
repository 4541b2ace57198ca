"""Photos and captions that a trained retrieval model places far from each other.

The score of a pair is the fraction of the captions of other photos in its split that are not nearer to the photo: 1 for the
nearest caption, about 0.5 for a caption of another photo. With ranks, the photos of the training split, whose similarities are
larger, compare with the others.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bitbloom import tasks
from bitbloom.audit.confident import DIGITS
from bitbloom.audit.table import Finding
from bitbloom.core.errors import BitBloomError
from bitbloom.core.progress import track
from bitbloom.data.dataset import SPLITS
from bitbloom.numerics import pins
from bitbloom.training import inference

if TYPE_CHECKING:
    from bitbloom.config.target import Target
    from bitbloom.training.inference import Trained

BLOCK = 256
"""Photos whose similarities to all captions are in memory at a time: 256 × 50,000 float32 are 51 MB."""
EQUAL = 1e-6
"""Similarities that differ by less are equal: the same sentence may describe several photos."""

Vectors = NDArray[np.float32]


def find(target: Target) -> list[Finding]:
    """Return the pairs of all splits, the farthest first. Raises BitBloomError if there is no trained model."""
    if not (target.models / "model.safetensors").exists():
        raise BitBloomError(f"{target.models} has no trained model: run `make train TARGET={target.name}` first")
    pins.pin_torch()
    trained = inference.load(target, tasks.model(target.task))
    found = [finding for split in track(SPLITS, "pairs") for finding in of_split(trained, split)]
    return sorted(found, key=lambda each: (each.score, each.id))


def of_split(trained: Trained, split: str) -> list[Finding]:
    """Return the pairs of a split."""
    outputs, rows = trained.outputs(split), trained.dataset.samples.iloc[trained.dataset.split(split)]
    sentences = [json.loads(text) for text in rows["captions"]]
    owners = np.repeat(np.arange(len(rows)), [len(given) for given in sentences])
    texts = np.concatenate([array[: len(given)] for array, given in zip(outputs["texts"].numpy(), sentences, strict=True)])
    scores, nearest = compare(outputs["images"].numpy(), texts, owners)
    captions = [caption for given in sentences for caption in given]
    numbers = [number for given in sentences for number in range(1, len(given) + 1)]
    ids = rows["id"].tolist()
    return [
        Finding(f"{ids[owner]}#{number}", caption, captions[other], score)
        for owner, number, caption, other, score in zip(
            owners.tolist(), numbers, captions, nearest.tolist(), scores.tolist(), strict=True
        )
    ]


def compare(images: Vectors, texts: Vectors, owners: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the score of each caption and the nearest caption of another photo, both [m].

    Args:
        images: unit vectors [n, e].
        texts: unit vectors [m, e].
        owners: the photo of each caption [m], ascending.
    """
    scores, nearest = np.ones(len(texts)), np.zeros(len(texts), np.int64)
    for first in range(0, len(images), BLOCK):
        similarity = images[first : first + BLOCK] @ texts.T
        foreign = owners[None, :] != np.arange(first, first + len(similarity))[:, None]
        mine = np.flatnonzero((owners >= first) & (owners < first + BLOCK))
        for position in mine.tolist():
            row = owners[position] - first
            others = np.where(foreign[row], similarity[row], -np.inf)
            closer = np.count_nonzero(others > similarity[row, position] + EQUAL)
            scores[position] = 1.0 - closer / max(1, int(np.count_nonzero(foreign[row])))
            nearest[position] = others.argmax()
    return np.round(scores, DIGITS), nearest
