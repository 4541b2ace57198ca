"""Progress on stderr: a bar on a terminal, now and then a line in a log. It never changes what is built."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")
Advance = Callable[[int], None]

QUIET_SECONDS = 3.0
"""Lines in a log are at least so far apart, and short work prints none."""


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield the items, showing how many are done. `total` is their number where `len` does not give it."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with _display(description, total, in_bytes=False) as advance:
        for item in items:
            yield item
            advance(1)


@contextlib.contextmanager
def advancing(description: str, total: int | None = None, done: int = 0, in_bytes: bool = False) -> Iterator[Advance]:
    """A function to call with the number of items (or bytes) just finished; `done` of `total` were before."""
    with _display(description, total, in_bytes) as advance:
        if done:
            advance(done)
        yield advance


def _display(description: str, total: int | None, in_bytes: bool) -> contextlib.AbstractContextManager[Advance]:
    if sys.stderr.isatty():
        return _bar(description, total, in_bytes)
    return _lines(description, total, in_bytes)


@contextlib.contextmanager
def _bar(description: str, total: int | None, in_bytes: bool) -> Iterator[Advance]:
    """A bar with what is done and the time that is left."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    count = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total)
        yield lambda step: progress.advance(task, step)


@contextlib.contextmanager
def _lines(description: str, total: int | None, in_bytes: bool, clock: Callable[[], float] = time.monotonic) -> Iterator[Advance]:
    """A line whenever another tenth is done (without a total: whenever it was quiet long enough)."""
    done, told, last = 0, 0, clock()

    def advance(step: int) -> None:
        nonlocal done, told, last
        done += step
        tenth = 10 * done // total if total else told + 1
        if tenth > told and clock() - last >= QUIET_SECONDS:
            told, last = tenth, clock()
            print(_line(description, done, total, in_bytes), file=sys.stderr, flush=True)

    yield advance


def _line(description: str, done: int, total: int | None, in_bytes: bool) -> str:
    shown = _megabytes(done) if in_bytes else f"{done:,}"
    if not total:
        return f"{description}: {shown}"
    whole = _megabytes(total) if in_bytes else f"{total:,}"
    return f"{description}: {shown} of {whole} ({100 * done // total} %)"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
