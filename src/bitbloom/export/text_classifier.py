"""Texts: `tokens` int64 [n, l] → calibrated probabilities. The metadata has classes and tokenizer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from torch.nn import Sequential

from bitbloom.evaluation import calibration
from bitbloom.export import classification
from bitbloom.export.graphs import Graph

if TYPE_CHECKING:
    from bitbloom.contracts import Trained


def graph(trained: Trained, task: str) -> Graph:
    """The network and its calibrated softmax; `task` is the name in the metadata."""
    classes = json.dumps(trained.meta["classes"], ensure_ascii=False)
    properties = {"classes": classes, "tokenizer": trained.meta["tokenizer"], "task": task}
    module = Sequential(trained.network, classification.Calibrated(calibration.temperature(trained)))
    return Graph(module, ("tokens",), (classification.PROBABILITIES,), ({0: "n", 1: "l"},), properties)
