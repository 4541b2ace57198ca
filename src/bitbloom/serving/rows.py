"""Texts in files: a CSV file with a column `text`, or lines of a file or of standard input."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from bitbloom.core.errors import BitBloomError

STANDARD_INPUT = Path("-")


@dataclass(frozen=True)
class Row:
    """A text to label and its name: the column `id`, else its number in the file, from 1."""

    id: str
    text: str
    keyword: str = ""
    location: str = ""


def read(path: Path) -> Iterator[Row]:
    """Iterate over the rows of a `.csv` file, or the lines of another file; `-` is standard input.

    Raises:
        BitBloomError: the file is missing or is not UTF-8, or a CSV file has no column `text`.
    """
    try:
        if path == STANDARD_INPUT:
            yield from _lines(sys.stdin)
            return
        with path.open(encoding="utf-8-sig", newline="") as stream:
            yield from _table(path, stream) if path.suffix.lower() == ".csv" else _lines(stream)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BitBloomError(f"{path} cannot be read as text in UTF-8: {error}") from error


def _lines(stream: TextIO) -> Iterator[Row]:
    for number, line in enumerate(stream, start=1):
        yield Row(str(number), line.rstrip("\r\n"))


def _table(path: Path, stream: TextIO) -> Iterator[Row]:
    reader = csv.DictReader(stream)
    if "text" not in (reader.fieldnames or ()):
        raise BitBloomError(f"{path} has no column 'text': its first row has to name the columns (id, keyword, location, text)")
    for number, row in enumerate(reader, start=1):
        yield Row(row.get("id") or str(number), row["text"] or "", row.get("keyword") or "", row.get("location") or "")
