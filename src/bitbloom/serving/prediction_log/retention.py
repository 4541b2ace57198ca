"""Parts that are too old, or too many, are deleted; other files are left alone."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

from bitbloom.serving.prediction_log.settings import LogSettings
from bitbloom.serving.prediction_log.storage import FOLDERS, Storage

NAME = re.compile(rf"(?:{'|'.join(FOLDERS)})/date=\d{{4}}-\d\d-\d\d/(\d{{8}}T\d{{6}})\d{{3}}Z-[0-9a-f]{{32}}\.parquet")
"""The name of a part, with the time of its first row."""
DAY = 86_400
Namer = Callable[[int], str]
"""Makes the name of a part from the time of its first row, in milliseconds since 1970."""


def part_name(folder: str, milliseconds: int) -> str:
    """A new name for a part whose first row is of this time (since 1970)."""
    time = datetime.fromtimestamp(milliseconds / 1000, UTC)
    stamp = f"{time:%Y%m%dT%H%M%S}{milliseconds % 1000:03}Z"
    return f"{folder}/date={time:%Y-%m-%d}/{stamp}-{uuid4().hex}.parquet"


def expire(storage: Storage, settings: LogSettings, now: float | None = None) -> list[str]:
    """Delete parts older than `days`, then the oldest while all have more than `bytes` together. Returns their names.

    Raises:
        OSError: the storage fails.
    """
    before = _stamp((time.time() if now is None else now) - settings.days * DAY)
    parts = sorted((found[1], file) for file in storage.files() if (found := NAME.fullmatch(file.name)))
    total = sum(file.size for _, file in parts)
    deleted = []
    for stamp, file in parts:
        if stamp >= before and total <= settings.bytes:
            break
        storage.delete(file.name)
        deleted.append(file.name)
        total -= file.size
    return deleted


def _stamp(seconds: float) -> str:
    """A time as in names of parts, whose order is that of the texts; the year 1 for one before it."""
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y%m%dT%H%M%S}"
    except (OverflowError, ValueError, OSError):
        return "00010101T000000"
