"""A thread that collects rows and writes them as parts, so that no request waits for a disk or a bucket.

Memory is bounded: a row that does not fit is dropped and counted. A part that fails is written again, the same rows under the
same name, so each row is in exactly one part.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

LOGGER = logging.getLogger("bentoml.prediction_log")
"""A child of BentoML's logger, which has handlers."""
TICK = 0.25
"""Seconds between two looks at the rows. A thread that woke for each row would take its core from the request."""
PAUSES = 0.5, 30.0
"""Seconds before a failed part is written again: the first, doubled each time, and the longest."""
REPORT_SECONDS = 60.0
"""Between two lines in the log on dropped rows."""
CLOSE_SECONDS = 20.0
"""How long `close` waits for a storage that fails."""
GROUP = 8
"""Rows that are prepared together: their photos fit into the cache of a core."""
PART_SIZE = 1 / 8
"""Fraction of the memory from which rows are a part: a few large photos would else fill it long before there are enough rows."""


class Weighed(Protocol):
    """A row: its bytes in memory, and its time in milliseconds since 1970."""

    @property
    def weight(self) -> int:
        """Bytes, roughly."""

    @property
    def time(self) -> int:
        """Milliseconds since 1970."""


Raw = TypeVar("Raw", bound=Weighed)
Ready = TypeVar("Ready", bound=Weighed)


@dataclass(frozen=True)
class Limits:
    """Rows from which a part is written, the longest wait of a row in seconds, and rows and bytes in memory at most.

    A fraction PART_SIZE of the bytes makes a part, too.
    """

    part_rows: int
    seconds: float
    rows: int
    size: int


@dataclass(frozen=True)
class Counters:
    """Called with the number of rows written in a part, of rows dropped, and after each error of the storage."""

    written: Callable[[int], None]
    dropped: Callable[[int], None]
    failed: Callable[[], None]


class Writer(Generic[Raw, Ready]):
    """Rows wait raw, are prepared in the thread, and wait again until their part is due."""

    def __init__(
        self,
        name: Callable[[int], str],
        limits: Limits,
        prepare: Callable[[Raw], Ready],
        write: Callable[[str, Sequence[Ready]], None],
        counters: Counters,
        seen: Callable[[Sequence[Ready]], None] = lambda _: None,
        idle: Callable[[], None] = lambda: None,
        prepare_all: Callable[[Sequence[Raw]], list[Ready]] | None = None,
    ) -> None:
        """Start the thread.

        Args:
            name: a new name for a part, by the time of its first row.
            limits: of parts and memory.
            prepare: makes a row ready; one for which it raises is dropped.
            write: writes a part; may raise, and is called again with the same name and rows.
            counters: of the metrics.
            seen: called with the rows that have become ready, before they are written.
            idle: called after each look.
            prepare_all: `prepare` for up to GROUP rows together; rows for which it raises are prepared one by one.
        """
        self.name, self.limits, self.prepare, self.write = name, limits, prepare, write
        self.counters, self.seen, self.idle, self.prepare_all = counters, seen, idle, prepare_all
        self.lock, self.wake, self.closing = threading.Lock(), threading.Event(), threading.Event()
        self.raw: list[Raw] = []
        self.ready: list[Ready] = []
        self.part: tuple[str, list[Ready]] | None = None
        """What is being written: it keeps its name and rows until it is."""
        self.held, self.size = 0, 0
        """Rows and bytes in memory."""
        self.oldest = self.retry = 0.0
        self.pause = PAUSES[0]
        self.deadline = float("inf")
        self.unreported, self.reported = 0, -REPORT_SECONDS
        self.error = self.reason = ""
        """Why the last part could not be written, and why rows were dropped."""
        self.thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self.thread.start()

    def put(self, *rows: Raw) -> bool:
        """Accept rows, or drop and count all of them. Never waits for the storage."""
        weight = sum(row.weight for row in rows)
        with self.lock:
            fits = self.held + len(rows) <= self.limits.rows and self.size + weight <= self.limits.size
            fits = fits and not self.closing.is_set()
            if fits:
                self.held += len(rows)
                self.size += weight
                self.raw.extend(rows)
            is_part = self._fill_a_part(self.held) and not self.error
        if not fits:
            self._drop(len(rows), "the service ends" if self.closing.is_set() else self.error or "the storage does not keep up")
        elif is_part and not self.wake.is_set():
            self.wake.set()
        return fits

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write what is in memory, and end the thread. Rows that cannot be written in time are dropped and counted."""
        self.deadline = min(self.deadline, time.monotonic() + seconds)
        with self.lock:  # no row is accepted from here on
            self.closing.set()
        self.wake.set()
        self.thread.join(seconds + 2 * TICK)
        if self.thread.is_alive():
            self._drop(self.held, "the storage does not respond")
        self._report(at_once=True)

    def _run(self) -> None:
        while not self.closing.is_set() or self.held:
            self.wake.wait(TICK)
            self.wake.clear()
            try:
                self._look()
            except BaseException:  # a thread that ended would lose every later row
                LOGGER.exception("the prediction log failed, and goes on")

    def _look(self) -> None:
        self.seen(self._make_ready())
        while self._is_due() and self._write_part():
            pass
        if self.closing.is_set() and time.monotonic() > self.deadline:
            self._give_up()
        self._report()
        self.idle()

    def _make_ready(self) -> list[Ready]:
        with self.lock:
            rows, self.raw = self.raw, []
        became: list[Ready] = []
        for first in range(0, len(rows), GROUP):
            became += self._prepared(rows[first : first + GROUP])
        if became and not self.ready:
            self.oldest = time.monotonic()
        self.ready += became
        return became

    def _prepared(self, rows: Sequence[Raw]) -> list[Ready]:
        if self.prepare_all:
            with suppress(Exception):  # one by one, the row that fails shows
                together = self.prepare_all(rows)
                with self.lock:
                    self.size += sum(row.weight for row in together) - sum(row.weight for row in rows)
                return together
        return [ready for row in rows for ready in self._prepared_alone(row)]

    def _prepared_alone(self, row: Raw) -> list[Ready]:
        try:
            ready = self.prepare(row)
        except Exception as error:
            self._forget([row])
            # Not the message: it may quote a text.
            self._drop(1, f"a row cannot be described ({type(error).__name__})")
            return []
        with self.lock:
            self.size += ready.weight - row.weight
        return [ready]

    def _is_due(self) -> bool:
        now = time.monotonic()
        if self.part:
            return now >= self.retry or self.closing.is_set()
        is_late = self.closing.is_set() or now - self.oldest >= self.limits.seconds
        return bool(self.ready) and (is_late or self._fill_a_part(len(self.ready)))

    def _fill_a_part(self, rows: int) -> bool:
        """Whether this number of rows, or the bytes in memory, are enough for a part."""
        return rows >= self.limits.part_rows or self.size >= self.limits.size * PART_SIZE

    def _write_part(self) -> bool:
        """Whether the part that is due has been written."""
        if self.part is None:
            self.part, self.ready = (self.name(self.ready[0].time), self.ready), []
        name, rows = self.part
        try:
            self.write(name, rows)
        except BaseException as error:  # clients of storages share no base class
            self.counters.failed()
            self.error = f"{name} cannot be written ({error})"
            LOGGER.warning("prediction log: %s: it is written again in %.1f s", self.error, self.pause)
            self.retry = time.monotonic() + self.pause
            self.pause = min(PAUSES[1], 2 * self.pause)
            return False
        self.part, self.pause, self.error = None, PAUSES[0], ""
        self._forget(rows)
        self.counters.written(len(rows))
        return True

    def _give_up(self) -> None:
        rows: list[Any] = [*(self.part[1] if self.part else []), *self.ready]
        self.part, self.ready = None, []
        self._forget(rows)
        self._drop(len(rows), self.error or "the service ends")

    def _forget(self, rows: Sequence[Weighed]) -> None:
        with self.lock:
            self.held -= len(rows)
            self.size -= sum(row.weight for row in rows)

    def _drop(self, count: int, reason: str) -> None:
        if count:
            self.counters.dropped(count)
            with self.lock:
                self.unreported += count
                self.reason = self.reason or reason

    def _report(self, at_once: bool = False) -> None:
        now = time.monotonic()
        if self.unreported and (at_once or now - self.reported >= REPORT_SECONDS):
            with self.lock:
                count, reason = self.unreported, self.reason
                self.unreported, self.reason = 0, ""
            self.reported = now
            LOGGER.warning("prediction log: %d rows were dropped: %s", count, reason)
