"""Computing beside an event loop: one queue, a thread a core, and answers that come back together while many wait.

    threads = Threads(cpus(), "petals")
    answer = await threads.run(predictor.answer, photo)

`fork` before the first question, not after it: that one starts the threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

Result = TypeVar("Result")
QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""What a container may use of the CPUs it sees: microseconds of each period (cgroup v2)."""
FEW = 4
"""Computations a thread that wait: with fewer, an answer goes back at once."""
HELD_SECONDS = 0.04
"""How long an answer waits for others, at most, before all go back together."""


def cpus(quota: Path = QUOTA) -> int:
    """Cores that this process can use: those it may run on, and no more than its container's quota, rounded up."""
    cores = len(os.sched_getaffinity(0))
    try:
        microseconds, period = quota.read_text(encoding="ascii").split()
        return max(1, min(cores, math.ceil(int(microseconds) / int(period))))
    except (OSError, ValueError):  # no cgroup, or "max"
        return cores


class Threads:
    """So many computations at a time, the others in their order.

    The event loop's code has gone from the caches of a core by the time that a network has run on it, so that a turn for one
    answer costs several times what it costs right after another. Hence it gets several answers in a turn, as soon as so many
    computations wait that no thread can run dry meanwhile.
    """

    def __init__(self, count: int, name: str) -> None:
        self.count, self.name = count, name
        self.waiting: SimpleQueue[tuple[asyncio.Future[Any], Callable[[], Any]]] = SimpleQueue()
        self.done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self.started = False
        self.loop: asyncio.AbstractEventLoop | None = None
        self.tick: asyncio.TimerHandle | None = None
        self.unanswered = 0

    async def run(self, compute: Callable[..., Result], *arguments: object) -> Result:
        """What `compute` returns or raises, from a thread. Who no longer waits for it is passed over."""
        loop = asyncio.get_running_loop()
        if self.loop is not loop:
            self._attend(loop)
        future: asyncio.Future[Result] = loop.create_future()
        self.unanswered += 1
        self.waiting.put((future, lambda: compute(*arguments)))
        if self.tick is None:
            self._wait(loop)
        return await future

    def _attend(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop, self.tick, self.unanswered = loop, None, 0
        if not self.started:
            self.started = True
            for number in range(self.count):
                Thread(target=self._work, name=f"{self.name}-{number}", daemon=True).start()

    def _work(self) -> None:
        while True:
            future, compute = self.waiting.get()
            self.done.append((future, *_outcome(future, compute)))
            if self.waiting.qsize() < FEW * self.count:
                with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
                    future.get_loop().call_soon_threadsafe(self._hand_over)

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        self.tick = loop.call_later(HELD_SECONDS, self._ticked, loop)

    def _ticked(self, loop: asyncio.AbstractEventLoop) -> None:
        self._hand_over()
        self.tick = None
        if self.unanswered:
            self._wait(loop)

    def _hand_over(self) -> None:
        while self.done:
            future, result, error = self.done.popleft()
            self.unanswered -= 1
            if future.cancelled():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)


def _outcome(future: asyncio.Future[Any], compute: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    if future.cancelled():
        return None, None
    try:
        return compute(), None
    except BaseException as error:  # whoever asked gets it
        return None, error
