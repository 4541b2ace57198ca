"""`model` of kind `text`: a classifier of texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from bitbloom.config.models import Model


@dataclass
class TextModel(Model):
    """A classifier of texts."""

    kind: str = "text"
    architecture: str = "bert"
    """bert (of these sizes) | auto (any `AutoModelForSequenceClassification` of `weights`)."""
    hidden_size: int = 384
    layers: int = 6
    heads: int = 12
    mlp_ratio: int = 4
    positions: int = 512
    """Longest input of the network, tokens."""
    dropout: float = 0.1

    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {"architecture": ("bert", "auto")}
    POSITIVE: ClassVar[tuple[str, ...]] = ("hidden_size", "layers", "heads", "mlp_ratio")
