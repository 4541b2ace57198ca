"""Columns about classes: their sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from bitbloom.config.sections.gate import Gate


def class_rows(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """Number of rows of the row's class; null for missing or undeclared labels, which other expectations check."""
    declared = table["label"].where(table["label"].isin(gate.labels)) if gate.labels is not None else table["label"]
    return declared.map(declared.value_counts()).astype(float)


def imbalance(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """Ratio of the largest class to the row's class, in rows."""
    rows = class_rows(table, gate)
    return rows.rdiv(rows.max())
