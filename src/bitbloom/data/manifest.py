"""The manifest of a target, a Parquet file with one row for each sample, written from a stream of rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.core.bounded import chunked
from bitbloom.core.errors import BitBloomError

if TYPE_CHECKING:
    import pyarrow

Row = Mapping[str, object]
"""Values of a sample by column, in the order of the columns; None where a text is missing."""
GROUP = 1 << 15
"""Rows of a row group, which is in memory as Arrow columns: about 15 MB for photos."""
BATCH = 1 << 9
"""Rows that are in memory as Python values, which take several times the bytes of Arrow columns."""


def write(rows: Iterable[Row], file: Path, batch: int = BATCH) -> tuple[int, int]:
    """Write rows as they come, in row groups of GROUP. Returns the number of rows and of labels.

    The bytes do not depend on `batch`. Those of fewer than GROUP rows are the bytes that pandas writes for a table of them.

    Raises:
        BitBloomError: there are no rows.
    """
    import pyarrow  # here: every worker process of ingest imports this module, and needs neither pyarrow nor pandas
    from pyarrow.parquet import ParquetWriter

    remaining, count, labels = iter(rows), 0, set[str]()
    writer: ParquetWriter | None = None
    with contextlib.ExitStack() as stack:
        while tables := [_table(part) for part in chunked(islice(remaining, GROUP), batch)]:
            group = pyarrow.concat_tables(tables, promote_options="default").combine_chunks()
            writer = writer or stack.enter_context(ParquetWriter(file, _schema(group)))
            writer.write_table(group.select(writer.schema.names).cast(writer.schema))
            count += len(group)
            labels.update(group["label"].unique().to_pylist())
    if not count:
        raise BitBloomError(f"{file.name} would be empty: the source has no samples")
    return count, len(labels)


def _table(rows: Sequence[Row]) -> pyarrow.Table:
    import pandas as pd
    import pyarrow

    return pyarrow.Table.from_pandas(pd.DataFrame(rows), preserve_index=False)


def _schema(group: pyarrow.Table) -> pyarrow.Schema:
    """Return the schema of a manifest with pandas' metadata, from its first row group.

    A column without values has no type. If more groups can follow, it is one of texts.
    """
    none = "" if len(group) == GROUP else None
    firsts = (group[name].drop_null()[:1].to_pylist() for name in group.column_names)
    return _table([{name: first[0] if first else none for name, first in zip(group.column_names, firsts, strict=True)}]).schema
