"""What a sample is: one module a task, apart from its model, so that a change of the model never draws the data anew.

Like a task, it never reads a path of the build: stages hand it bytes and rows, and write what it returns.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    import pandas as pd

    from bitbloom.dataset import Arrays
    from bitbloom.schema import Prepare


class Samples(Protocol):
    """What a module of this package offers."""

    EXAMPLE: str
    """Name of a file that `bitbloom predict` takes, for hints."""
    KEPT: Sequence[str]
    """Columns of the manifest that later stages read beside id, label, key and attributes."""

    def describe(self, data: bytes, attributes: Mapping[str, object]) -> dict[str, object]:
        """Manifest columns of one sample, of its bytes and of what its source knows of it.

        Never raises on bad bytes: `decodable` is False and `error` says why.
        """
        ...

    def near_duplicates(self, rows: pd.DataFrame, raw: Sequence[bytes], prepare: Prepare) -> list[tuple[int, int]]:
        """Pairs of row positions (i < j) that show nearly the same thing."""
        ...

    def pack(self, rows: pd.DataFrame, raw: Sequence[bytes], prepare: Prepare) -> tuple[Arrays, dict[str, Any]]:
        """Decode all samples into arrays, and say what the model has to know of them (`meta.json`)."""
        ...


def load(task: str) -> Samples:
    """The samples of a task."""
    return cast(Samples, importlib.import_module(f"{__name__}.{task}"))
