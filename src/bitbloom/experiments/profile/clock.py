"""A clock that divides the time of a thread among named functions, by Python's profile events."""

from __future__ import annotations

import inspect
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from types import CodeType, FrameType

Entered = Callable[[str, FrameType], object]


class Clock:
    """Gives each moment to the innermost named function that runs, so that the parts add up to the time.

    Attributes:
        nanoseconds: part → time. `other` is outside of all named functions.
        cpu: part → CPU time of this thread, nanoseconds. Less than the time where the thread waits, or has no core.
        calls: part → number of calls.
    """

    def __init__(
        self,
        parts: Mapping[CodeType, str],
        other: str,
        closed: Collection[str] = (),
        entered: Entered = lambda part, frame: None,
        left: Callable[[object], None] = lambda token: None,
        now: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        """Prepare a clock.

        Args:
            parts: code → part.
            other: the part of everything else.
            closed: parts that include what they call, whatever it is.
            entered: called with a part and the frame of its function; its result is passed to `left`.
            left: called with what `entered` returned.
            now: the time in nanoseconds.
        """
        self.parts, self.other, self.closed = parts, other, frozenset(closed)
        self.entered, self.left, self.now = entered, left, now
        self.nanoseconds: dict[str, int] = defaultdict(int)
        self.cpu: dict[str, int] = defaultdict(int)
        self.calls: dict[str, int] = defaultdict(int)
        self._stack: list[tuple[str, object]] = []
        self._last, self._used = 0, 0

    def start(self) -> None:
        """Begin, in this thread: functions that run already are found on its stack."""
        running: list[str] = []
        frame = inspect.currentframe()
        while frame is not None:
            if (part := self.parts.get(frame.f_code)) is not None:
                running.append(part)
            frame = frame.f_back
        self._stack = [(self.other, None)]
        for part in reversed(running):
            self._stack.append((self._inside(part), None))
        self._last, self._used = self.now(), time.thread_time_ns()
        sys.setprofile(self._event)

    def stop(self) -> None:
        """End. What runs now gets its time so far."""
        sys.setprofile(None)
        self._mark()
        for _, token in reversed(self._stack):
            if token is not None:
                self.left(token)
        self._stack = []

    def _inside(self, part: str) -> str:
        around = self._stack[-1][0]
        return around if around in self.closed else part

    def _mark(self) -> None:
        now, used, part = self.now(), time.thread_time_ns(), self._stack[-1][0]
        self.nanoseconds[part] += now - self._last
        self.cpu[part] += used - self._used
        self._last, self._used = now, used

    def _event(self, frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            part = self.parts.get(frame.f_code)
            if part is not None:
                self._mark()
                part = self._inside(part)
                self.calls[part] += 1
                self._stack.append((part, self.entered(part, frame)))
        elif event == "return" and frame.f_code in self.parts:
            self._mark()
            _, token = self._stack.pop()
            if token is not None:
                self.left(token)
