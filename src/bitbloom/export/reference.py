"""The reference of a model: descriptors of its training data, and what the network makes of its validation split.

A service and `bitbloom drift` compare inputs with it. All outputs are those of PyTorch in batches of one size, so that the
file has equal bytes on every CPU. Rows of the training split have descriptors alone: the network is fitted to them, so that their
embeddings and its confidence are unlike those of any other photo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from bitbloom.core import progress
from bitbloom.drift.observations import IMAGE, TEXT, Observations
from bitbloom.export.classification import EMBEDDING, PROBABILITIES, select
from bitbloom.export.graphs import BATCH, Graph, tensors

if TYPE_CHECKING:
    from bitbloom.contracts import Trained
    from bitbloom.data.dataset import Arrays

MOST = {"train": 5000, "val": 2000}
"""Largest number of samples of each split in a reference: more make a test no better, and the service larger."""
Describe = Callable[[int], dict[str, float]]
"""Position of a sample → its descriptors."""


def of_images(trained: Trained, graph: Graph | None, sizes: Mapping[str, int]) -> Observations:
    """The reference of a model of photos; without a classifier's graph, embeddings are the outputs `images` of the task."""
    from bitbloom.data.descriptors import image

    images, ids = trained.dataset.arrays["images"], trained.dataset.samples["id"]
    return _reference(trained, graph, IMAGE, lambda at: image.describe(np.asarray(images[at]), sizes[ids[at]]))


def of_texts(trained: Trained, graph: Graph) -> Observations:
    """The reference of a classifier of texts."""
    from bitbloom.data.descriptors import text

    rows = trained.dataset.samples["text"]
    return _reference(trained, graph, TEXT, lambda at: text.describe(rows[at]))


def _reference(trained: Trained, graph: Graph | None, kind: str, describe: Describe) -> Observations:
    train, val = (spread(trained.dataset.split(split), most) for split, most in MOST.items())
    found = _classified(trained, graph, val) if graph else {"embeddings": _embedded(trained, val)}
    return Observations.concatenate(
        [_rows(trained, kind, "train", train, describe), _rows(trained, kind, "val", val, describe, **found)]
    )


def spread(positions: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most this number of positions, spread evenly."""
    return positions[np.linspace(0, len(positions) - 1, min(most, len(positions))).astype(np.int64)]


def _rows(
    trained: Trained, kind: str, split: str, positions: NDArray[np.int64], describe: Describe, **found: Any
) -> Observations:
    described = [describe(int(at)) for at in progress.track(positions, f"describe {split}")]
    features = {name: [one[name] for one in described] for name in described[0]}
    samples = trained.dataset.samples.iloc[positions]
    return Observations.of(kind, features, id=list(samples["id"]), split=[split] * len(positions), **found)


def _classified(trained: Trained, graph: Graph, positions: NDArray[np.int64]) -> dict[str, Any]:
    """Labels, confidences, true labels and, if the graph has them, embeddings."""
    outputs = by_full_batches(graph, select(graph, trained.dataset, positions))
    probabilities, classes = outputs[PROBABILITIES], trained.meta["classes"]
    found: dict[str, Any] = {
        "label": [classes[best] for best in probabilities.argmax(1)],
        "confidence": probabilities.max(1),
        "truth": [classes[label] for label in trained.dataset.arrays["labels"][positions]],
    }
    return found | ({"embeddings": outputs[EMBEDDING]} if EMBEDDING in outputs else {})


def _embedded(trained: Trained, positions: NDArray[np.int64]) -> NDArray[np.float32]:
    """Embeddings of photos of the validation split."""
    rows = np.searchsorted(trained.dataset.split("val"), positions)
    found: NDArray[np.float32] = trained.outputs("val")["images"].numpy()[rows]
    return found


@torch.no_grad()
def by_full_batches(graph: Graph, inputs: Arrays) -> Arrays:
    """The outputs of PyTorch in batches of BATCH samples, the last one padded: small matrices are not portable between CPUs."""
    count = len(next(iter(inputs.values())))
    module, parts = graph.module.eval(), []
    for start in progress.track(range(0, count, BATCH), "reference: PyTorch"):
        rows = np.resize(np.arange(start, min(start + BATCH, count)), BATCH)
        parts.append(module(*tensors({name: np.ascontiguousarray(array[rows]) for name, array in inputs.items()})))
    return {name: torch.cat([part[at] for part in parts])[:count].numpy() for at, name in enumerate(graph.outputs)}
