"""Processes that a stage shares its work with, and that end when it ends, however it ends."""

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
    """Worker processes: `WORKERS`, or one a core this process may use. It never changes a byte.

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
    """`map` in order, over fresh processes where there is more than one worker: items go to them in chunks of so many."""
    if workers == 1:
        yield from map(function, items)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        yield from pool.map(function, items, chunksize=chunk)


def end_with_parent() -> None:
    """Let the system kill this process when its parent ends: a pool's workers hold the pipe open that they wait on, for ever."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
