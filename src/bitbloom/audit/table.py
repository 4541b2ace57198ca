"""The CSV of an audit: one row for each listed sample, the most suspicious first, with an empty column for a person's verdict."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bitbloom.audit.confident import DIGITS
from bitbloom.core.errors import BitBloomError
from bitbloom.data import tables

COLUMNS = ("id", "label", "suggested", "score", "verdict")
TAKES = f"the CSV that `make audit-labels` writes has the columns {', '.join(COLUMNS)}"


@dataclass(frozen=True)
class Finding:
    """A listed sample.

    Attributes:
        id: of the sample; of a pair, that of the photo, `#` and the number of the caption.
        label: the given label, or the caption.
        suggested: the likeliest other label, or the nearest caption of another photo.
        score: 0 is the most suspicious, 1 the least.
        given: the out-of-sample probability of the label; None for a pair.
        probability: that of the suggested one; None for a pair.
    """

    id: str
    label: str
    suggested: str
    score: float
    given: float | None = None
    probability: float | None = None


@dataclass(frozen=True)
class Row:
    """A row that a person may have edited, with its place for a message."""

    place: str
    id: str
    label: str
    verdict: str


def text(findings: Sequence[Finding]) -> str:
    """The CSV of findings, with an empty column `verdict`."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([each.id, each.label, each.suggested, f"{each.score:.{DIGITS}f}", ""] for each in findings)
    return stream.getvalue()


def read(file: Path) -> list[Row]:
    """Read an edited CSV, also as a spreadsheet saves it: with semicolons, tabs, or in another encoding.

    Raises:
        BitBloomError: the file is not a table, or its columns are not COLUMNS.
    """
    if not file.is_file():
        raise BitBloomError(f"{file}: there is no such file; {TAKES}")
    found = tables.read(file, COLUMNS, {"id": lambda _: False}, TAKES)
    if extra := [name for name in found.header if name not in COLUMNS]:
        raise BitBloomError(f"{file} also has the columns {', '.join(map(repr, extra))}: {TAKES}")
    return [
        Row(f"{file}, {record.place}", *(record.values.get(name, "").strip() for name in ("id", "label", "verdict")))
        for record in found.records
    ]
