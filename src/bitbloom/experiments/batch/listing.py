"""The list of inputs of a run: a Parquet file with one row group for each part, so that a worker reads only its own."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from bitbloom.core import canonical
from bitbloom.serving.rows import Row

Item = TypeVar("Item")

PHOTOS = pa.schema([("name", pa.binary()), ("size", pa.int64()), ("version", pa.string())])
ROWS = pa.schema([(name, pa.string()) for name in ("id", "text", "keyword", "location")])
UNKNOWN = -1
"""Size of a photo that could not be found, or whose size is known only after a request."""


class Photo(NamedTuple):
    """A photo: its name relative to the source, its size in bytes, and what changes when its content is replaced."""

    name: str
    size: int = UNKNOWN
    version: str = ""


Entry = Photo | Row


class Listed(NamedTuple):
    """The number of inputs, and the SHA-256 of their list."""

    inputs: int
    digest: str


def parts(inputs: int, size: int) -> int:
    """Return the number of parts of `size` inputs; the last one may be smaller."""
    return -(-inputs // size)


def cut(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Cut items into consecutive lists of `size`; the last one may be shorter."""
    remaining = iter(items)
    while block := list(itertools.islice(remaining, size)):
        yield block


def write(path: Path, entries: Iterable[Entry], texts: bool, size: int) -> Listed:
    """Write the list, and hold one part of it in memory at a time.

    Args:
        path: the file.
        entries: photos or rows of text.
        texts: whether they are rows.
        size: inputs of a part.
    """
    schema, found, inputs = ROWS if texts else PHOTOS, hashlib.sha256(), 0
    with canonical.replacing(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for block in cut(entries, size):
            inputs += len(block)
            for entry in block:
                found.update(json.dumps(_values(entry)).encode() + b"\n")
            writer.write_table(pa.Table.from_pylist([_record(entry) for entry in block], schema))
    return Listed(inputs, found.hexdigest())


def read(path: Path, number: int) -> list[Entry]:
    """Return the inputs of a part."""
    with pq.ParquetFile(path) as file:
        records = file.read_row_group(number).to_pylist()
    return [_entry(record) for record in records]


def _values(entry: Entry) -> list[str | int]:
    return list(entry) if isinstance(entry, Photo) else [entry.id, entry.text, entry.keyword, entry.location]


def _record(entry: Entry) -> dict[str, object]:
    if isinstance(entry, Photo):  # a file name need not be UTF-8
        return {"name": os.fsencode(entry.name), "size": entry.size, "version": entry.version}
    return {"id": entry.id, "text": entry.text, "keyword": entry.keyword, "location": entry.location}


def _entry(record: dict[str, object]) -> Entry:
    if "name" in record:
        return Photo(**record | {"name": os.fsdecode(record["name"])})  # type: ignore[arg-type]
    return Row(**record)  # type: ignore[arg-type]
