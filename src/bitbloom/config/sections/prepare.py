"""`prepare`: how raw samples become arrays and splits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass
class Prepare:
    """How raw samples become arrays and splits."""

    image_size: int = 96
    """Side of the stored square, pixels."""
    split: list[int] = field(default_factory=lambda: [70, 10, 20])
    """Percent of train, val and test."""
    near_duplicate_bits: int = 4
    """Largest Hamming distance of two perceptual hashes (of 64 bits) that makes a candidate pair."""
    near_duplicate_difference: float = 10.0
    """Largest mean absolute difference of two 16×16 grey thumbnails (0 to 255) that confirms it."""
    tokenizer: str = "none"
    """none | locked:NAME (of weights.lock) | path:FOLDER: whose `tokenizer.json` makes numbers of texts."""
    tokens: int = 64
    """Longest text, tokens; longer ones are cut."""
    fewest: int = 1
    """How often the training split has to have a word for the vocabulary of a model that writes."""

    POSITIVE: ClassVar[tuple[str, ...]] = ("image_size",)
    """Keys whose value is 1 or more."""
