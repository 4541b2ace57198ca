"""Texts: `tokens` int64 [n, l] → calibrated probabilities and an embedding. The metadata has classes and tokenizer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from torch.nn import Identity

from bitbloom.evaluation import calibration
from bitbloom.export import classification
from bitbloom.export.graphs import Graph

if TYPE_CHECKING:
    from bitbloom.contracts import Trained


def graph(trained: Trained, task: str) -> Graph:
    """The network and its calibrated softmax; `task` is the name in the metadata."""
    classes = json.dumps(trained.meta["classes"], ensure_ascii=False)
    properties = {"classes": classes, "tokenizer": trained.meta["tokenizer"], "task": task}
    calibrated = classification.Calibrated(calibration.temperature(trained))
    module = classification.Classifier(Identity(), trained.network, calibrated, len(trained.meta["classes"]))
    return Graph(module, ("tokens",), module.outputs, ({0: "n", 1: "l"},), properties)
