"""Computing beside an event loop: one queue, a few threads, and results that return together while many requests wait.

    threads = Threads(cpu.cores() + 1, "petals")
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
        self.timed = False
        """Whether the loop will return what is done, at the latest after HELD_SECONDS."""

    async def run(self, compute: Callable[..., Result], *arguments: object) -> Result:
        """What `compute` returns or raises, from a thread. A computation whose caller was cancelled is skipped."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.waiting.put((future, lambda: compute(*arguments)))
        self.pool.submit(self._work)
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
        with contextlib.suppress(RuntimeError):  # the loop is closed, and with it every caller
            if self.waiting.qsize() < MANY * self.count:
                loop.call_soon_threadsafe(self._return)
            elif not self.timed:
                self.timed = True
                loop.call_soon_threadsafe(loop.call_later, HELD_SECONDS, self._return)

    def _return(self) -> None:
        self.timed = False  # before it looks: a result that is added from here on gets a new timer
        while self.done:
            future, result, error = self.done.popleft()
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
