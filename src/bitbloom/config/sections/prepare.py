"""`prepare`: conversion of raw samples to arrays and splits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass
class Prepare:
    """Conversion of raw samples to arrays and splits."""

    image_size: int = 96
    """Side of the stored square, pixels."""
    split: list[int] = field(default_factory=lambda: [70, 10, 20])
    """Percentages of train, val and test."""
    near_duplicate_bits: int = 4
    """Largest Hamming distance of the perceptual hashes (64 bits) of a candidate pair."""
    near_duplicate_difference: float = 10.0
    """Largest mean absolute difference of the 16×16 grey thumbnails (0 to 255) of near-duplicates."""
    tokenizer: str = "none"
    """none | locked:NAME (of weights.lock) | path:FOLDER: location of the `tokenizer.json`."""
    tokens: int = 64
    """Largest number of tokens of a text; longer texts are truncated."""
    fewest: int = 1
    """Smallest number of occurrences of a word in the training split to enter the decoder's vocabulary."""

    POSITIVE: ClassVar[tuple[str, ...]] = ("image_size",)
    """Keys whose value is at least 1."""
