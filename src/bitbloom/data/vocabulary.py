"""Special tokens at the start of every vocabulary. The module has no dependencies, because it is part of the service."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

PADDING, START, END, UNKNOWN = range(4)
SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>")
"""In the order of their indices."""


def sentence(words: Iterable[int], vocabulary: Sequence[str]) -> str:
    """Convert word indices to a sentence."""
    return " ".join(vocabulary[word] for word in words)
