"""Processes that other processes started, and that a test expects to end."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil


def still_running(found: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait for the ends of processes, at most for a time, and return those that still run.

    A zombie has ended: in a container, the first process may never collect the exit status of a process without a parent.
    """
    deadline, left = time.monotonic() + seconds, list(found)
    while (left := [one for one in left if _runs(one)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
