"""Texts in files: a CSV file with a column `text`, or lines of a file or of standard input."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from bitbloom.core.errors import BitBloomError
from bitbloom.data import tables

STANDARD_INPUT = Path("-")
TABLES = (".csv", ".tsv")


@dataclass(frozen=True)
class Row:
    """A text to label and its name: the column `id`, else its number in the file, from 1."""

    id: str
    text: str
    keyword: str = ""
    location: str = ""


def read(path: Path) -> Iterator[Row]:
    """Iterate over the rows of a `.csv` or `.tsv` file, or the lines of another file; `-` is standard input.

    Raises:
        BitBloomError: the file is missing or not text, or a table is not valid or has no column `text`.
    """
    if path == STANDARD_INPUT:
        yield from _lines(sys.stdin)
    elif path.suffix.lower() in TABLES:
        yield from _table(path)
    else:
        yield from _lines(io.StringIO(tables.decode(path)[0], newline=None))


def _lines(stream: TextIO) -> Iterator[Row]:
    try:
        for number, line in enumerate(stream, start=1):
            yield Row(str(number), line.rstrip("\r\n"))
    except UnicodeDecodeError as error:
        raise BitBloomError(f"standard input cannot be read as text in UTF-8: {error}") from error


def _table(path: Path) -> Iterator[Row]:
    takes = "its first row has to name the columns (id, keyword, location, text)"
    for number, record in enumerate(tables.read(path, ["text"], {"id": str.isdigit}, takes).records, start=1):
        text, keyword, location = (record.values.get(name, "") for name in ("text", "keyword", "location"))
        yield Row(record.values.get("id") or str(number), text, keyword, location)
