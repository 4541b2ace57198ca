"""Columns about the captions of photos: shared ones, and those that name nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from bitbloom.validation.nameless import NAME_NOTHING

if TYPE_CHECKING:
    from bitbloom.config.sections.gate import Gate


def sentence_shared_with(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """First caption of the row (a line of `normalised`) that another row has too, and the first such row (by id); else null."""
    rows = table.sort_values("id", kind="stable")[["id", "normalised"]]
    lines = rows.assign(sentence=rows["normalised"].fillna("").str.split("\n")).explode("sentence")
    lines = lines[lines["sentence"].ne("")].drop_duplicates(["id", "sentence"])
    number = lines.groupby("sentence").cumcount()
    first, second = (lines[number.eq(rank)].set_index("sentence")["id"] for rank in (0, 1))
    other = lines["sentence"].map(first).where(number.gt(0), lines["sentence"].map(second))
    shared = (lines["sentence"] + ", also of " + other).dropna()
    return shared[~shared.index.duplicated()].astype(object).reindex(table.index)


def nameless(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """First caption of the row whose words name nothing (articles, prepositions, "photo" …); else null.

    Captions without words are ignored here; another expectation checks the number of words.
    """
    return table["normalised"].fillna("").map(_nameless).astype(object)


def _nameless(normalised: str) -> str | None:
    return next((line for line in normalised.split("\n") if line and NAME_NOTHING.issuperset(line.split())), None)


def said_twice(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """First caption that a photo has more than once, as its words; else null."""
    return table["normalised"].fillna("").map(_repeated).astype(object)


def _repeated(normalised: str) -> str | None:
    seen: set[str] = set()
    for line in normalised.split("\n"):
        if line and line in seen:
            return line
        seen.add(line)
    return None
