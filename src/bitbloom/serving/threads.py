"""Computing beside an event loop: one queue, a thread a core, and answers that come back together while many wait.

    threads = Threads(cpu.cores(), "petals")
    answer = await threads.run(predictor.answer, photo)

`fork` before the first question, not after it: that one starts the threads.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

Result = TypeVar("Result")
FEW = 4
"""Computations that wait, for each thread: with fewer, an answer goes back at once."""
HELD_SECONDS = 0.04
"""How long an answer waits for others, at most, before all go back together."""


class Threads:
    """So many computations at a time, the others in their order.

    The event loop's code has gone from the caches of a core by the time that a network has run on it, so that a turn for one
    answer costs several times what it costs right after another. Hence it gets several answers in a turn, as soon as so many
    computations wait that no thread can run dry meanwhile.
    """

    def __init__(self, count: int, name: str) -> None:
        self.count, self.name = count, name
        self.threads: list[Thread] = []
        self.waiting: SimpleQueue[tuple[asyncio.Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self.done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
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
        try:
            return await future
        finally:
            del future  # an error holds this frame, which would hold the error, and with it the question

    def close(self) -> None:
        """Let the threads end, after all that waits. A process that ended while one computes would be aborted."""
        for _ in self.threads:
            self.waiting.put(None)
        for thread in self.threads:
            thread.join()
        self.threads = []

    def _attend(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop, self.tick, self.unanswered = loop, None, 0
        if not self.threads:
            self.threads = [Thread(target=self._work, name=f"{self.name}-{at}", daemon=True) for at in range(self.count)]
            for thread in self.threads:
                thread.start()
            atexit.register(self.close)

    def _work(self) -> None:
        while (question := self.waiting.get()) is not None:
            future, compute = question
            self.done.append((future, *((None, None) if future.cancelled() else _outcome(compute))))
            loop = future.get_loop()
            del question, future, compute  # or a thread that waits would keep its last photo
            if self.waiting.qsize() < FEW * self.count:
                with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
                    loop.call_soon_threadsafe(self._hand_over)

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        self.tick = loop.call_later(HELD_SECONDS, self._ticked, loop)

    def _ticked(self, loop: asyncio.AbstractEventLoop) -> None:
        self.tick = None
        self._hand_over()
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


def _outcome(compute: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return compute(), None
    except StopIteration as error:  # which no future takes
        return None, RuntimeError(f"a computation raised {error!r}")
    except BaseException as error:  # whoever asked gets it
        return None, error
