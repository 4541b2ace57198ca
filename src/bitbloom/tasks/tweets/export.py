"""Exporter of `tweets`: the graphs of a text classifier."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.export import classification, text_classifier
from bitbloom.export import reference as references

if TYPE_CHECKING:
    from bitbloom.config.sections.export import Export
    from bitbloom.contracts import Parity, Trained
    from bitbloom.drift.observations import Observations
    from bitbloom.export.graphs import Graph


def export(trained: Trained, config: Export, folder: Path) -> Parity:
    """Write the graphs, and compare them with the network."""
    return classification.export(trained, graph(trained), config, folder)


def reference(trained: Trained, sizes: Mapping[str, int]) -> Observations:
    """Return the descriptors of the data, and the network's outputs for the validation split."""
    return references.of_texts(trained, graph(trained))


def graph(trained: Trained) -> Graph:
    """Return the graph of network and softmax."""
    return text_classifier.graph(trained, "tweets")
