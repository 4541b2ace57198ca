"""Photos: `images` uint8 [n, 3, S, S] → probabilities, preprocessing included."""

from __future__ import annotations

import json
from pathlib import Path

from torch.nn import Sequential, Softmax

from bitbloom.config import Export, ImageModel
from bitbloom.exporters import Parity, classification
from bitbloom.exporters.graphs import Graph
from bitbloom.inference import Trained
from bitbloom.models.preprocess import Preprocess


def export(trained: Trained, config: Export, folder: Path) -> Parity:
    """Write and compare the classifier's graphs."""
    return classification.export(trained, graph(trained), config, folder)


def graph(trained: Trained) -> Graph:
    """The network between its preprocessing and its softmax; classes and the stored side in the metadata."""
    model, meta = trained.model, trained.meta
    assert isinstance(model, ImageModel)
    module = Sequential(Preprocess(model.image_size, model.mean, model.std), trained.network, Softmax(dim=-1))
    classes = json.dumps(meta["classes"], ensure_ascii=False)
    properties = {"classes": classes, "image_size": str(meta["image_size"]), "task": "petals"}
    return Graph(module, ("images",), (classification.PROBABILITIES,), ({0: "n"},), properties)
