"""Columns computed from a manifest before the check, for expectations about classes and repeats.

A column is added if its sources exist, so manifests of different tasks use this package. Columns about an error in a row
(`unreadable`, `repeat_of`, `nameless`, …) have the reason as their value, and null in valid rows.

    files.py        files that cannot be decoded, repeated files
    labels.py       sizes of classes
    photos.py       sizes of photos
    looks.py        photos that look alike
    texts.py        repeated and contradictory texts, new words
    sentences.py    captions of photos
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from bitbloom.validation.derived import files, labels, looks, photos, sentences, texts
from bitbloom.validation.derived.column import Derived

if TYPE_CHECKING:
    from bitbloom.config.sections.gate import Gate

COLUMNS = (
    Derived("unreadable", ("decodable", "error"), files.unreadable),
    Derived("repeat_of", ("id", "sha256"), files.repeat_of),
    Derived("class_rows", ("label",), labels.class_rows),
    Derived("imbalance", ("label",), labels.imbalance),
    Derived("shortest_side", ("width", "height"), photos.shortest_side),
    Derived("longest_side", ("width", "height"), photos.longest_side),
    Derived("text_repeat_of", ("id", "normalised"), texts.text_repeat_of),
    Derived("text_conflicts_with", ("normalised", "label"), texts.text_conflicts_with),
    Derived("sentence_shared_with", ("id", "normalised"), sentences.sentence_shared_with),
    Derived("nameless", ("normalised",), sentences.nameless),
    Derived("new_words", ("id", "normalised"), texts.new_words),
    Derived("conflicts_with", ("id", "label", "key", "perceptual_hash"), looks.conflicts_with),
)


def add(table: pd.DataFrame, gate: Gate) -> pd.DataFrame:
    """Add every derived column whose sources exist."""
    columns = {column.name: column.compute(table, gate) for column in COLUMNS if set(column.sources) <= set(table.columns)}
    return table.assign(**columns)
