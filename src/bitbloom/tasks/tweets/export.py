"""Exporter of `tweets`: the graphs of a text classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.export import classification, text_classifier

if TYPE_CHECKING:
    from bitbloom.config.sections.export import Export
    from bitbloom.contracts import Parity, Trained
    from bitbloom.export.graphs import Graph


def export(trained: Trained, config: Export, folder: Path) -> Parity:
    """Write the graphs, and compare them with the network."""
    return classification.export(trained, graph(trained), config, folder)


def graph(trained: Trained) -> Graph:
    """Return the graph of network and softmax."""
    return text_classifier.graph(trained, "tweets")
