"""Columns about files: those that cannot be decoded, and repeats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from bitbloom.config.sections.gate import Gate


def unreadable(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """Reason why a file cannot be decoded; null for decodable files."""
    reason = table["error"].astype(object).where(table["error"].notna(), "it does not decode")
    return reason.where(table["decodable"].ne(True), None)


def repeat_of(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """Id of the first row (by id) with the same file bytes; null for that row and for unique rows."""
    several = table[table["sha256"].notna() & table.duplicated("sha256", keep=False)]
    ordered = several.sort_values("id", kind="stable")
    first = ordered.groupby("sha256")["id"].transform("first")
    repeats = first[ordered.duplicated("sha256")].astype(object).reindex(table.index)
    return repeats.where(repeats.notna(), None)
