"""Columns about texts: repeats, contradictory labels, new words, and labels inside the text."""

from __future__ import annotations

import re
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


ENOUGH, PURE, OFTEN = 20, 0.98, 0.05
"""Fewest rows that start or end with the name of their label, their smallest fraction of all rows that do so, and their
smallest fraction of the rows of the label: then the name does not belong to the text."""
STEM = 4
"""Number of letters by which a keyword is found in its text: `flooding` in `floods`."""


def label_in_text(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """The part of a text that tells its label, such as `label: disaster`, `__label__1` or `[disaster]`; else null."""
    labels = sorted({str(label) for label in table["label"].dropna() if str(label).strip()}, key=len, reverse=True)
    text = table["text"].fillna("").astype(str)
    if not labels:
        return pd.Series(None, index=table.index, dtype=object)
    marked = re.compile(_marked(labels), re.IGNORECASE)
    found = text.map(lambda one: match[0] if (match := marked.search(one)) else None).astype(object)
    for label in labels:
        edge = text.str.contains(rf"^\W*{re.escape(label)}\b|\b{re.escape(label)}\W*$", case=False, regex=True)
        own = edge & table["label"].eq(label)
        if own.sum() >= max(ENOUGH, OFTEN * table["label"].eq(label).sum()) and own.sum() >= PURE * edge.sum():
            found = found.where(~own | found.notna(), label)
    return found.where(found.notna(), None)


def _marked(labels: list[str]) -> str:
    """A pattern of a label that is marked as one."""
    names = "|".join(re.escape(label) for label in labels)
    joined = "|".join(r"[ _-]?".join(map(re.escape, label.split())) for label in labels if " " in label)
    hashtag = rf"|#(?:{joined})\b" if joined else ""
    return (
        rf"__label__\w+|\b(?:label|class|category|target)\s*[=:]\s*['\"]?(?:{names}|[01]|true|false)\b"
        rf"|[\[(<]\s*(?:{names})\s*[\])>]{hashtag}"
    )


def keyword_missing(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """The keyword of a row whose text has no word that starts like it; else null."""
    pairs = zip(table["keyword"].fillna(""), table["text"].fillna(""), strict=True)
    missing = [keyword if keyword and not _mentions(text, keyword) else None for keyword, text in pairs]
    return pd.Series(missing, table.index, dtype=object)


def _mentions(text: str, keyword: str) -> bool:
    letters = "".join(letter for letter in text.casefold() if letter.isalnum())
    return any(word[:STEM] in letters for word in keyword.casefold().split())


def wordless(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """A text without words: only addresses, user names or punctuation; else null."""
    empty = table["normalised"].eq("") & table["text"].fillna("").ne("")
    return table["text"].astype(object).where(empty, None)
