"""CPU time of a service by thread, from the kernel's counters."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

Times = Mapping[tuple[int, int], float]
"""(process, thread) → CPU seconds since its start."""


@dataclass(frozen=True)
class Used:
    """CPU seconds: of the event loop of the process that serves, of its other threads, and of all other processes."""

    loop: float
    compute: float
    other: float

    @property
    def total(self) -> float:
        """Of all."""
        return self.loop + self.compute + self.other


def times(pid: int) -> Times:
    """CPU times of all threads of a process and its children."""
    found: dict[tuple[int, int], float] = {}
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            for thread in process.threads():
                found[process.pid, thread.id] = thread.user_time + thread.system_time
    return found


def difference(before: Times, after: Times) -> Used:
    """CPU time between two looks. The process that serves is the one that used most; its main thread has the event loop."""
    spent = {key: seconds - before.get(key, 0.0) for key, seconds in after.items()}
    by_process: dict[int, float] = defaultdict(float)
    for (pid, _), seconds in spent.items():
        by_process[pid] += seconds
    serving = max(by_process, key=lambda pid: by_process[pid])
    loop = spent.get((serving, serving), 0.0)
    return Used(loop, by_process[serving] - loop, sum(by_process.values()) - by_process[serving])
