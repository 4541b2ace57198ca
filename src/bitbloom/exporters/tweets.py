"""Texts: `tokens` int64 [n, l] → calibrated probabilities; classes and tokenizer in the metadata."""

from __future__ import annotations

import json
from pathlib import Path

from torch.nn import Sequential

from bitbloom import calibration
from bitbloom.exporters import Parity, classification
from bitbloom.exporters.graphs import Graph
from bitbloom.inference import Trained
from bitbloom.schema import Export


def export(trained: Trained, config: Export, folder: Path) -> Parity:
    """Write and compare the classifier's graphs."""
    return classification.export(trained, graph(trained), config, folder)


def graph(trained: Trained) -> Graph:
    """The network and its calibrated softmax."""
    classes = json.dumps(trained.meta["classes"], ensure_ascii=False)
    properties = {"classes": classes, "tokenizer": trained.meta["tokenizer"], "task": "tweets"}
    module = Sequential(trained.network, classification.Calibrated(calibration.temperature(trained)))
    return Graph(module, ("tokens",), (classification.PROBABILITIES,), ({0: "n", 1: "l"},), properties)
