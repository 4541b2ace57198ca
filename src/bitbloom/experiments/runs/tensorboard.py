"""Curves and test metrics as event files of TensorBoard, one folder per run.

The format is that of TensorFlow: a file of TFRecords (length, its checksum, data, its checksum), each of which is an `Event` of
tensorflow/core/util/event.proto in protobuf's wire format. Only scalars are written, so no package of TensorBoard is needed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import google_crc32c

from bitbloom.core import canonical
from bitbloom.experiments.runs.record import UNPLOTTED, Run

VERSION = b"brain.Event:2"
"""The version of the format, in the first event of a file."""
MASK = 0xA282EAD8
"""Added to a rotated CRC-32C, so that a checksum of data with checksums differs from them."""


def export(runs: Sequence[Run], folder: Path) -> list[Path]:
    """Write the runs with curves or metrics to `folder/<target>-<id>/`, and return the files. Equal runs give equal bytes."""
    paths = []
    for run in runs:
        if run.curves or run.metrics:
            path = folder / f"{run.target or 'run'}-{run.short}".replace("/", "-") / "events.out.tfevents.0.bitbloom"
            canonical.write_bytes(path, b"".join(map(record, events(run))))
            paths.append(path)
    return paths


def events(run: Run) -> Iterator[bytes]:
    """The version, one event for each epoch, and one with the metrics of the test split. All have the time of the run."""
    time = datetime.fromisoformat(run.when).timestamp() if run.when else 0.0
    yield event(time, version=VERSION)
    for row in run.curves:
        yield event(time, int(row["epoch"]), {name: value for name, value in row.items() if name not in UNPLOTTED})
    if run.metrics:
        last = int(run.curves[-1]["epoch"]) if run.curves else 0
        yield event(time, last, {f"test/{name}": value for name, value in run.metrics.items()})


def event(time: float, step: int = 0, scalars: dict[str, float] | None = None, version: bytes = b"") -> bytes:
    """An `Event`: wall_time = 1, step = 2, file_version = 3, summary = 5."""
    found = b"\x09" + struct.pack("<d", time) + b"\x10" + varint(step)
    if version:
        found += field(3, version)
    if scalars:
        found += field(5, b"".join(field(1, value(name, number)) for name, number in sorted(scalars.items())))
    return found


def value(tag: str, number: float) -> bytes:
    """A `Summary.Value`: tag = 1, simple_value = 2."""
    return field(1, tag.encode()) + b"\x15" + struct.pack("<f", number)


def field(number: int, data: bytes) -> bytes:
    """A field of protobuf with a length."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(number: int) -> bytes:
    """A non-negative integer in groups of 7 bits, the lowest first."""
    groups = [number >> shift & 0x7F for shift in range(0, max(number.bit_length(), 1), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def record(data: bytes) -> bytes:
    """A TFRecord."""
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    found = int(google_crc32c.value(data))
    return struct.pack("<I", ((found >> 15 | found << 17) + MASK) & 0xFFFFFFFF)
