"""Worker processes of a stage, which always end with it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

from bitbloom.core import cpu
from bitbloom.core.errors import BitBloomError

Item = TypeVar("Item")
Result = TypeVar("Result")


def workers() -> int:
    """Return the number of worker processes: `WORKERS`, or the number of available cores. It never changes the output.

    Raises:
        BitBloomError: `WORKERS` is not a positive integer.
    """
    value = os.environ.get("WORKERS", "")
    if not value:
        return cpu.cores()
    if not value.isdigit() or int(value) < 1:
        raise BitBloomError(f"WORKERS={value!r} is not a positive integer")
    return int(value)


def spread(function: Callable[[Item], Result], items: Iterable[Item], workers: int, chunk: int) -> Iterator[Result]:
    """Apply a function to items in order; with several workers, new processes receive the items in chunks of `chunk`."""
    if workers == 1:
        yield from map(function, items)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        yield from pool.map(function, items, chunksize=chunk)


def end_with_parent() -> None:
    """Make the system kill this process when its parent ends: workers of a pool would otherwise wait forever."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
