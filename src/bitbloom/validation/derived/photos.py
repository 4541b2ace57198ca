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
