"""The rows at fault as a reader knows them: photos as thumbnails, texts in full."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from bitbloom.core.errors import UnreadableImage
from bitbloom.data import imaging

if TYPE_CHECKING:
    from bitbloom.validation.verdict import Check

SHOWN = 12
"""Rows of an expectation on the page."""
SIDE = 96
"""Side of a thumbnail, pixels."""
TEXTS = ("text", "captions")
"""Columns that are shown in full."""
LONGEST = 400
"""Characters of a text or a value."""


@dataclass(frozen=True)
class Row:
    """A row at fault.

    Attributes:
        value: the value at fault, as text.
        pictures: thumbnails as `data:` addresses: of the photo, and of the photo that `value` names, if there are any.
        text: the text of the sample, empty for photos.
    """

    id: str
    value: str
    pictures: Sequence[str]
    text: str


def of_checks(manifest: Path, raw: Path, checks: Iterable[Check]) -> dict[str, list[Row]]:
    """Return the first rows at fault of each check by its name; reads only these rows of the manifest."""
    first = {check.name: check.rows[:SHOWN] for check in checks if check.rows}
    names = {str(row[key]) for rows in first.values() for row in rows for key in ("id", "value")}
    samples = _samples(manifest, names)
    pictures = {name: picture for name, sample in samples.items() if (picture := _picture(raw, sample))}
    return {check: [_row(row, samples, pictures) for row in rows] for check, rows in first.items()}


def _samples(manifest: Path, names: set[str]) -> dict[str, dict[str, Any]]:
    """Return the rows of the manifest with these ids."""
    columns = set(pq.read_schema(manifest).names)
    if not names or not {"id", "path"} <= columns:
        return {}
    wanted = [name for name in ("id", "path", "width", *TEXTS) if name in columns]
    table = pq.read_table(manifest, columns=wanted, filters=[("id", "in", sorted(names))])
    return {str(sample["id"]): sample for sample in table.to_pylist()}


def _row(row: dict[str, Any], samples: dict[str, dict[str, Any]], pictures: dict[str, str]) -> Row:
    value = "" if row["value"] is None else str(row["value"])
    named = [name for name in dict.fromkeys((row["id"], value)) if name in pictures]
    sample = samples.get(row["id"], {})
    text = " ".join(str(sample[column]) for column in TEXTS if sample.get(column))
    return Row(row["id"], value[:LONGEST], [pictures[name] for name in named], text[:LONGEST])


def _picture(raw: Path, sample: dict[str, Any]) -> str:
    """Return the thumbnail of a photo, empty if the sample has none."""
    if "width" not in sample or not sample["path"]:
        return ""
    try:
        pixels = imaging.square((raw / sample["path"]).read_bytes(), SIDE)
    except (UnreadableImage, OSError, ValueError):
        return ""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(stream, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
