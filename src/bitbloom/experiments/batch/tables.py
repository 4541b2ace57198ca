"""Tables of inputs: Parquet, CSV or TSV with a column of texts or of paths; for texts also a file of lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bitbloom.core.errors import BitBloomError
from bitbloom.data import tables
from bitbloom.experiments.reasons import reason
from bitbloom.serving import rows as texts
from bitbloom.serving.rows import Row

PARQUET = ".parquet"
BLOCK = 1000
"""Rows of a Parquet file in memory at a time. Text files are read as a whole."""
OPTIONAL = ("id", "keyword", "location")


def is_table(path: Path) -> bool:
    """Return whether a file has the suffix of a table."""
    return path.is_file() and path.suffix.lower() in (PARQUET, *texts.TABLES)


def rows(path: Path, column: str) -> Iterator[Row]:
    """Iterate over the texts in a column, or the lines of a file that is not a table. See `serving/rows.py`.

    Raises:
        BitBloomError: the file is missing or damaged, or lacks the column.
    """
    if path.suffix.lower() not in (PARQUET, *texts.TABLES):
        yield from texts.read(path)
        return
    for number, record in enumerate(_records(path, column, OPTIONAL), start=1):
        keyword, location = (str(record.get(name) or "") for name in ("keyword", "location"))
        name = record.get("id")
        yield Row(str(number) if name in (None, "") else str(name), record[column] or "", keyword, location)


def paths(path: Path, column: str) -> Iterator[str]:
    """Iterate over the paths in a column. Raises BitBloomError like `rows`."""
    return (record[column] or "" for record in _records(path, column, ()))


def _records(path: Path, column: str, optional: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    if path.suffix.lower() == PARQUET:
        yield from _parquet(path, column, optional)
        return
    takes = f"its first row has to name the columns, '{column}' among them (--column names another)"
    column_name = column.casefold()  # as the reader of tables returns it
    for record in tables.read(path, [column_name], {"id": str.isdigit} if optional else {}, takes).records:
        yield record.values | {column: record.values.get(column_name, "")}


def _parquet(path: Path, column: str, optional: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            if column not in schema.names:
                raise BitBloomError(f"{path} lacks the column '{column}': it has {', '.join(schema.names)} (--column names one)")
            kind = schema.field(column).type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                raise BitBloomError(f"{path}: the column '{column}' has the type {kind}, not string")
            wanted = [column, *(name for name in optional if name in schema.names)]
            for batch in file.iter_batches(BLOCK, columns=wanted):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise BitBloomError(f"{path} cannot be read as Parquet: {reason(error)}") from error
