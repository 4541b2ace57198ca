"""Files of predictions: the columns for each kind of model, and two formats."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError

Prediction = dict[str, Any]

_SCORED = [("model_digest", pa.string()), ("error", pa.string())]
_LABEL = [("label", pa.string()), ("probability", pa.float64())]
SCHEMAS = {
    "image": pa.schema([("path", pa.string()), *_LABEL, ("top5", pa.list_(pa.struct(_LABEL))), *_SCORED]),
    "caption": pa.schema(
        [
            ("path", pa.string()),
            ("sentences", pa.list_(pa.struct([("sentence", pa.string()), ("score", pa.float64())]))),
            *_SCORED,
        ]
    ),
    "text": pa.schema([("id", pa.string()), *_LABEL, *_SCORED]),
}
"""Kind of model → columns. Without a prediction all are null but the name and `error`."""


@dataclass(frozen=True)
class Count:
    """Predictions in a file, and how many of them are an error."""

    predictions: int
    errors: int


@dataclass(frozen=True)
class Format:
    """A format: how to write predictions of a kind of model to a file, and how to count those of a file."""

    write: Callable[[Path, Sequence[Prediction], str], None]
    count: Callable[[Path], Count]


def _write_parquet(path: Path, predictions: Sequence[Prediction], kind: str) -> None:
    pq.write_table(pa.Table.from_pylist(list(predictions), SCHEMAS[kind]), path)


def _count_parquet(path: Path) -> Count:
    with pq.ParquetFile(path) as file:
        errors = file.read(["error"])["error"]
    return Count(len(errors), len(errors) - errors.null_count)


def _write_lines(path: Path, predictions: Sequence[Prediction], _: str) -> None:
    """The lines that `bitbloom predict` prints."""
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in predictions), encoding="utf-8")


def _count_lines(path: Path) -> Count:
    with path.open(encoding="utf-8") as lines:
        failed = ["error" in json.loads(line) for line in lines]
    return Count(len(failed), sum(failed))


FORMATS = {"parquet": Format(_write_parquet, _count_parquet), "jsonl": Format(_write_lines, _count_lines)}


def named(name: str) -> Format:
    """Return a format. Raises BitBloomError for an unknown one."""
    if name not in FORMATS:
        raise BitBloomError(f"--format '{name}' is none of {', '.join(FORMATS)}")
    return FORMATS[name]


def part_path(out: Path, number: int, name: str) -> Path:
    """The file of a part in a format."""
    return out / f"part-{number:05}.{name}"


def write(out: Path, number: int, name: str, predictions: Sequence[Prediction], kind: str) -> None:
    """Write a part under a temporary name, and rename it. Raises BitBloomError if the disk does not take it."""
    path = part_path(out, number, name)
    try:
        with canonical.replacing(path) as temporary:
            named(name).write(temporary, predictions, kind)
    except OSError as error:
        raise BitBloomError(f"{path} cannot be written: {error.strerror or error}") from error


def count(out: Path, number: int, name: str) -> Count | None:
    """Count the predictions of a part; None if its file is missing or damaged."""
    try:
        return named(name).count(part_path(out, number, name))
    except (OSError, ValueError, pa.ArrowException):
        return None
