"""Columns about splits that the source gives: samples in two splits, and splits that differ from each other."""

from __future__ import annotations

import functools
import json
import math
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from bitbloom.config.sections.gate import Gate

SIGNIFICANT, EXPECTED = 3.0, 2.0
"""Fewest standard errors of a difference that counts, and fewest rows that a split should have of a class that it lacks."""
VALUES = ("width", "height", "bytes", "brightness", "sharpness", "characters", "words", "most_words")
"""Columns whose values are compared between splits."""
MOVED = 0.3
"""Largest difference from one half of the fraction of a split's values above the median of the largest split."""


def split_leak(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """Id of a row of another split with the same content (`key`); else null. The rows of the largest split are not at fault."""
    split = _given(table)
    found = pd.Series(None, index=table.index, dtype=object)
    if split.eq("").all():
        return found
    rows = pd.DataFrame({"id": table["id"], "key": table["key"], "split": split})[split.ne("")]
    largest = rows["split"].value_counts().index[0]
    rows["rank"] = rows["split"].ne(largest)
    first = rows.sort_values(["rank", "id"], kind="stable").drop_duplicates("key").set_index("key")
    other = rows["key"].map(first["split"]).ne(rows["split"])
    return found.where(~other.reindex(table.index, fill_value=False), rows["key"].map(first["id"]).reindex(table.index))


def split_labels(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """What is unusual about the class of a row in its split, if its fraction of the split is more than `gate.split_ratio` times
    larger or smaller than its fraction of all rows, and not by chance, or if a split lacks the class; else null.
    """
    split, label = _given(table), table["label"].fillna("")
    found = pd.Series(None, index=table.index, dtype=object)
    used = split.ne("")
    if gate.split_ratio is None or not used.any():
        return found
    counts = pd.crosstab(label[used], split[used])
    total = counts.to_numpy().sum()
    for name, row in counts.iterrows():
        for one in counts.columns:
            size, overall = int(counts[one].sum()), int(row.sum()) / total
            error = math.sqrt(overall * (1 - overall) / size)
            here = int(row[one]) / size
            ratio = max(here, overall) / max(min(here, overall), 1e-9)
            absent = row[one] == 0 and size * overall >= EXPECTED
            if absent or (ratio > gate.split_ratio and abs(here - overall) > SIGNIFICANT * error):
                concerned = used & label.eq(str(name)) & (split.eq(one) | (row[one] == 0)) & found.isna()
                found = found.where(~concerned, f"{100 * here:.1f} % of {one}, {100 * overall:.1f} % of all")
    return found


def split_values(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """What is unusual about the split of a row, if its sizes or its light differ from those of the largest split; else null."""
    split = _given(table)
    found = pd.Series(None, index=table.index, dtype=object)
    largest, *names = list(split[split.ne("")].value_counts().index) or [""]
    for column in [column for column in VALUES if column in table]:
        for name in names:
            here, others = table.loc[split.eq(name), column].dropna(), table.loc[split.eq(largest), column].dropna()
            if found[split.eq(name)].notna().any() or here.empty or others.empty:
                continue
            middle = others.median()
            above = (here.gt(middle).sum() + here.eq(middle).sum() / 2) / len(here)
            if abs(above - 0.5) > max(MOVED, SIGNIFICANT * 0.5 / math.sqrt(len(here))):
                found = found.where(split.ne(name), f"{column}: median {here.median():.4g} in {name}, {middle:.4g} in {largest}")
    return found


def _given(table: pd.DataFrame) -> pd.Series:
    """Return the attribute `split` of each row; an empty text where the source gives none."""
    attributes = table["attributes"].fillna("").astype(str)
    named = attributes.str.contains('"split"', regex=False)
    return attributes.where(named, "{}").map(_split_of)


@functools.lru_cache
def _split_of(attributes: str) -> str:
    try:
        return str(json.loads(attributes).get("split", ""))
    except (ValueError, AttributeError):  # not JSON, or no object
        return ""
