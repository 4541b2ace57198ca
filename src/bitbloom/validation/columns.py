"""A table whose columns are read when an expectation needs them: a manifest of a million rows is never in memory as a whole."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq


@dataclass(frozen=True)
class Columns:
    """Columns of one length.

    Attributes:
        names: their names, in order.
        rows: number of rows, whose index is 0, 1, ….
        read: function of names, in this order, that returns these columns.
    """

    names: list[str]
    rows: int
    read: Callable[[list[str]], pd.DataFrame]

    @classmethod
    def of_frame(cls, table: pd.DataFrame) -> Columns:
        """Return the columns of a table in memory."""
        whole = table.reset_index(drop=True)
        return cls([str(name) for name in whole.columns], len(whole), lambda names: whole[names])

    @classmethod
    def of_file(cls, path: Path) -> Columns:
        """Return the columns of a Parquet file, which are read again each time."""
        schema, rows = pq.read_schema(path), pq.read_metadata(path).num_rows
        # Arrow's columns are freed one by one, because texts take several times their memory in pandas.
        return cls(schema.names, rows, lambda names: pq.read_table(path, columns=names).to_pandas(self_destruct=True))

    def frame(self, names: Collection[str]) -> pd.DataFrame:
        """Return some columns in the order of the table; names of others are ignored."""
        found = [name for name in self.names if name in names]
        return self.read(found) if found else pd.DataFrame(index=range(self.rows))

    def outline(self) -> pd.DataFrame:
        """Return a table with the names and the number of rows of this one, and no values."""
        return pd.DataFrame(np.broadcast_to(np.int8(0), (self.rows, len(self.names))), columns=self.names, copy=False)

    def without(self, names: Collection[str]) -> Columns:
        """Leave out columns."""
        return Columns([name for name in self.names if name not in names], self.rows, self.read)

    def extended(self, computed: Mapping[str, Callable[[], pd.Series]]) -> Columns:
        """Add columns, which are computed once, when they are first read."""
        known: dict[str, pd.Series] = {}

        def read(names: list[str]) -> pd.DataFrame:
            for name in names:
                if name in computed and name not in known:
                    known[name] = computed[name]()
            given = self.frame([name for name in names if name not in computed])
            return given.assign(**{name: known[name] for name in names if name in computed})[names]

        return Columns([*(name for name in self.names if name not in computed), *computed], self.rows, read)
