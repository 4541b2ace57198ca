"""Columns about the size of a photo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from bitbloom.config.sections.gate import Gate


def shortest_side(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """The smaller of width and height, pixels."""
    return table[["width", "height"]].min(axis="columns")


def longest_side(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """The larger of width and height, pixels."""
    return table[["width", "height"]].max(axis="columns")


UNIFORM = 0.95
"""Fraction of the photos with one size from which on another size is odd."""


def odd_size(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """The sides of a photo whose size is unusual in this data set; else null.

    It is unusual if it is more than `gate.odd_size` times larger or smaller than the median, or if nearly all photos have one
    size and this one has another.
    """
    sides = table[["width", "height"]]
    usable = sides[sides.gt(0).all(axis="columns")]
    found = pd.Series(None, index=table.index, dtype=object)
    if usable.empty or gate.odd_size is None:
        return found
    length = (usable["width"] * usable["height"]) ** 0.5
    ratio = length / length.median()
    odd = ratio.gt(gate.odd_size) | ratio.lt(1 / gate.odd_size)
    common = usable.value_counts(normalize=True)
    if common.iloc[0] >= UNIFORM:
        odd |= usable.ne(common.index[0]).any(axis="columns")
    shown = usable["width"].astype(str) + " × " + usable["height"].astype(str)
    return found.where(~odd.reindex(table.index, fill_value=False), shown.reindex(table.index))
