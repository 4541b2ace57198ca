"""Columns about texts: repeats, contradictory labels, and new words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from bitbloom.config.sections.gate import Gate

LATE = 0.2
"""Fraction of the rows, the last ones, whose words are compared with those of the rows before."""


def text_repeat_of(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """Id of the first row (by id) with the same words; null for that row and for unique rows."""
    ordered = table.sort_values("id", kind="stable")
    first = ordered.groupby("normalised")["id"].transform("first").reindex(table.index)
    repeats = ordered.duplicated("normalised").reindex(table.index) & table["normalised"].ne("")
    return first.astype(object).where(repeats, None)


def text_conflicts_with(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """All labels of the row's words in the table if there is more than one; else null."""
    labels = table.groupby("normalised")["label"].transform(lambda column: ", ".join(sorted(set(column.dropna().astype(str)))))
    several = table.groupby("normalised")["label"].transform("nunique").gt(1) & table["normalised"].ne("")
    return labels.astype(object).where(several, None)


def new_words(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """Fraction of a row's words that are absent in the first four fifths of the rows (by id), 0 to 1; null in those rows.

    Texts of another time, place or language differ in their words.
    """
    ordered = table.sort_values("id", kind="stable")["normalised"].fillna("").str.split()
    known: set[str] = set()
    found: dict[object, float | None] = {}
    for position, (row, words) in enumerate(ordered.items()):
        late = position >= len(ordered) * (1 - LATE) and words
        found[row] = sum(word not in known for word in words) / len(words) if late else None
        if position < len(ordered) * (1 - LATE):
            known.update(words)
    return pd.Series(found, dtype="float64").reindex(table.index)
