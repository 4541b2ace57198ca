"""Photos: `images` uint8 [n, 3, S, S] → calibrated probabilities, an attention map and an embedding, preprocessing included."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bitbloom.config.models.image import ImageModel
from bitbloom.evaluation import calibration
from bitbloom.export import classification
from bitbloom.export.graphs import Graph
from bitbloom.models.preprocess import Preprocess

if TYPE_CHECKING:
    from bitbloom.contracts import Trained


def graph(trained: Trained, task: str) -> Graph:
    """Preprocessing, network and softmax; the metadata has the classes and the side of stored photos.

    `task` is the name in the metadata. A vision transformer has a second output, `attention` float32 [n, grid, grid]. The last
    output is `embedding` float32 [n, d], the input of the classification head.
    """
    model, meta = trained.model, trained.meta
    assert isinstance(model, ImageModel)
    preprocess = Preprocess(model.image_size, model.mean, model.std)
    calibrated = classification.Calibrated(calibration.temperature(trained))
    classes = json.dumps(meta["classes"], ensure_ascii=False)
    properties = {"classes": classes, "image_size": str(meta["image_size"]), "task": task}
    module = classification.Classifier(preprocess, trained.network, calibrated, len(meta["classes"]))
    return Graph(module, ("images",), module.outputs, ({0: "n"},), properties)
