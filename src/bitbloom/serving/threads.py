"""Computing beside an event loop: one queue, one thread per core, and results that return together while many requests wait.

    threads = Threads(cpu.cores(), "petals")
    prediction = await threads.run(predictor.predict, photo)

The first computation starts the threads: a process forks before it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, TypeVar

Result = TypeVar("Result")
MANY = 4
"""Waiting computations for each thread, from which on results return in groups."""
HELD_SECONDS = 0.04
"""How long a result waits for others, at most."""


class Threads:
    """At most `count` computations at a time; the others wait in their order.

    After a network has run on a core, the event loop's code has left the core's caches, and one turn of the loop costs several
    times what it costs right after another. So the loop gets several results in one turn while no thread can run out of work.
    """

    def __init__(self, count: int, name: str) -> None:
        self.count, self.pool = count, ThreadPoolExecutor(count, name)
        self.waiting: SimpleQueue[tuple[asyncio.Future[Any], Callable[[], Any]]] = SimpleQueue()
        self.done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.timed, self.pending = False, 0

    async def run(self, compute: Callable[..., Result], *arguments: object) -> Result:
        """What `compute` returns or raises, from a thread. A computation whose caller was cancelled is skipped."""
        loop = asyncio.get_running_loop()
        if self.loop is not loop:
            self.loop, self.timed, self.pending = loop, False, 0
        future: asyncio.Future[Result] = loop.create_future()
        self.waiting.put((future, lambda: compute(*arguments)))
        self.pending += 1
        self.pool.submit(self._work)
        self._start_timer(loop)
        try:
            return await future
        finally:
            del future  # an error holds this frame, which would hold the error, and with it the request

    def close(self) -> None:
        """Let the threads end after all computations that wait."""
        self.pool.shutdown()

    def _work(self) -> None:
        future, compute = self.waiting.get()
        self.done.append((future, *((None, None) if future.cancelled() else _outcome(compute))))
        loop = future.get_loop()
        del future, compute  # an error holds this frame, too
        if self.waiting.qsize() < MANY * self.count:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and with it every caller
                loop.call_soon_threadsafe(self._return)

    def _start_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.pending and not self.timed:
            self.timed = True
            loop.call_later(HELD_SECONDS, self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self.timed = False
        self._return()
        self._start_timer(loop)

    def _return(self) -> None:
        while self.done:
            future, result, error = self.done.popleft()
            self.pending -= 1
            if future.cancelled():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)


def _outcome(compute: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return compute(), None
    except StopIteration as error:  # a future does not accept it
        return None, RuntimeError(f"a computation raised {error!r}")
    except BaseException as error:  # the caller gets it
        return None, error
