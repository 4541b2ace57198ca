"""Photos: the graphs of any classifier of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.export import classification, image_classifier

if TYPE_CHECKING:
    from bitbloom.config.sections.export import Export
    from bitbloom.contracts import Parity, Trained
    from bitbloom.export.graphs import Graph


def export(trained: Trained, config: Export, folder: Path) -> Parity:
    """Write and compare the classifier's graphs."""
    return classification.export(trained, graph(trained), config, folder)


def graph(trained: Trained) -> Graph:
    """The network between its preprocessing and its softmax."""
    return image_classifier.graph(trained, "petals")
