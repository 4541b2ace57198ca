"""Columns computed from a manifest before the check, for expectations about classes and repeats.

A column is added if its sources exist, so manifests of different tasks use this package. Columns about an error in a row
(`unreadable`, `repeat_of`, `nameless`, …) have the reason as their value, and null in valid rows.

    files.py        files that cannot be decoded, repeated files, wrong suffixes
    labels.py       sizes of classes, labels that seem to be one
    photos.py       sizes of photos
    looks.py        photos that look alike
    texts.py        repeated and contradictory texts, new words, labels inside the text
    sentences.py    captions of photos
    splits.py       splits that the source gives
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from bitbloom.validation.derived import files, labels, looks, photos, sentences, splits, texts
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
    Derived("near_duplicate_of", ("id", "sha256", "perceptual_hash", "thumbnail"), looks.near_duplicate_of),
    Derived("wrong_suffix", ("path", "format"), files.wrong_suffix),
    Derived("odd_size", ("width", "height"), photos.odd_size),
    Derived("label_like", ("label",), labels.label_like),
    Derived("label_in_text", ("label", "text"), texts.label_in_text),
    Derived("keyword_missing", ("keyword", "text"), texts.keyword_missing),
    Derived("wordless", ("normalised", "text"), texts.wordless),
    Derived("said_twice", ("normalised", "captions"), sentences.said_twice),
    Derived("split_leak", ("id", "key", "attributes"), splits.split_leak),
    Derived("split_labels", ("label", "attributes"), splits.split_labels),
    Derived("split_values", ("attributes",), splits.split_values),
)


def add(table: pd.DataFrame, gate: Gate) -> pd.DataFrame:
    """Add every derived column whose sources exist."""
    columns = {column.name: column.compute(table, gate) for column in COLUMNS if set(column.sources) <= set(table.columns)}
    return table.assign(**columns)
