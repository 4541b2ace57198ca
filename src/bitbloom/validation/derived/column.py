"""A derived column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from bitbloom.config.sections.gate import Gate


@dataclass(frozen=True)
class Derived:
    """A column: its name, its source columns, and the function of (table, bounds) that computes it."""

    name: str
    sources: tuple[str, ...]
    compute: Callable[[pd.DataFrame, Gate], pd.Series]
