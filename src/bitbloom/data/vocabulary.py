"""The words with a place of their own at the front of every vocabulary. It imports nothing: it travels with the service."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

PADDING, START, END, UNKNOWN = range(4)
SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>")
"""In the order of their numbers."""


def sentence(words: Iterable[int], vocabulary: Sequence[str]) -> str:
    """Numbers of words as the sentence they write."""
    return " ".join(vocabulary[word] for word in words)
