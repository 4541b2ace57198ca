"""Settings of the prediction log: environment variables of a deployment, which do not change the Bento."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bitbloom.core.errors import BitBloomError

PREFIX = "BITBLOOM_LOG"
BUCKETS = ("gs://", "s3://")
SWITCHES = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True)
class LogSettings:
    """The variable of each field is BITBLOOM_LOG_<FIELD>, that of `address` BITBLOOM_LOG."""

    address: str
    """A folder, or an address below gs:// or s3://."""
    rows: int = 1000
    """Rows in memory while the storage keeps up, and so the most that a kill loses. A part is written at half of them."""
    seconds: float = 60.0
    """The longest time that a row waits in memory for the rest of its part."""
    queue: int = 20_000
    """Rows in memory at most, when the storage is slow or fails. More are dropped, and counted."""
    days: float = 30.0
    """Older parts are deleted."""
    bytes: int = 10_000_000_000
    """The oldest parts are deleted while all have more together."""
    content: bool = False
    """Whether to keep the photos and texts themselves."""
    window: int = 2000
    """Rows in memory that /drift compares with the reference."""
    drift: float = 300.0
    """Seconds between two comparisons for the metrics; 0 for none but those of requests to /drift."""

    @property
    def part_rows(self) -> int:
        """Rows of a part, at least: the other half of `rows` is for those that arrive while it is written."""
        return max(1, self.rows // 2)

    @property
    def in_bucket(self) -> bool:
        """Whether the log is in a bucket."""
        return self.address.startswith(BUCKETS)


def read(environment: Mapping[str, str] = os.environ) -> LogSettings | None:
    """The settings of the environment, None without BITBLOOM_LOG. Raises BitBloomError for a value that cannot be used."""
    address = environment.get(PREFIX, "").strip()
    if not address:
        return None
    found = LogSettings(address, **{name: _value(name, kind, environment) for name, kind in _given(environment)})
    _check_memory(found)
    if found.in_bucket:
        return found
    if "://" in address or not Path(address).is_absolute():
        raise BitBloomError(f"{PREFIX}={address} is neither an absolute path of a folder nor an address below gs:// or s3://")
    return found


def _check_memory(found: LogSettings) -> None:
    if found.queue < found.rows:
        raise BitBloomError(
            f"{_variable('queue')}={found.queue} is less than {_variable('rows')}={found.rows}: "
            "rows would be dropped before they are a part"
        )


def check(found: LogSettings) -> None:
    """Make the folder of a log. Raises BitBloomError when a process cannot write there."""
    if found.in_bucket:
        return
    folder = Path(found.address)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BitBloomError(f"{PREFIX}={folder} cannot be made: {error.strerror or error}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BitBloomError(f"{PREFIX}={folder} is not writable: give the service's user the right to write there")


def _given(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    named = {field.name: str(field.type) for field in fields(LogSettings) if field.name != "address"}
    return [(name, kind) for name, kind in named.items() if environment.get(_variable(name), "").strip()]


def _variable(name: str) -> str:
    return f"{PREFIX}_{name.upper()}"


def _value(name: str, kind: str, environment: Mapping[str, str]) -> Any:
    text = environment[_variable(name)].strip()
    if kind == "bool":
        if text.lower() not in SWITCHES:
            raise BitBloomError(f"{_variable(name)}={text} is neither 1 nor 0")
        return SWITCHES[text.lower()]
    try:
        value = int(text) if kind == "int" else float(text)
    except ValueError:
        value = math.nan
    # `drift` alone may be 0, which turns the comparisons off.
    if not (value > 0 or (value == 0 and name == "drift")) or math.isinf(value):
        raise BitBloomError(f"{_variable(name)}={text} is not a positive {'integer' if kind == 'int' else 'number'}")
    return value
