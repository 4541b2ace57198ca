"""Progress on stderr: a bar on a terminal, occasional lines in a log. It never changes the output."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")
Advance = Callable[[int], None]

QUIET_SECONDS = 3.0
"""Smallest interval between lines in a log, seconds; shorter work prints no lines."""


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield the items and show the progress. `total` is their number if `len` is not available."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with _display(description, total, in_bytes=False) as advance:
        for item in items:
            yield item
            advance(1)


@contextlib.contextmanager
def advancing(description: str, total: int | None = None, done: int = 0, in_bytes: bool = False) -> Iterator[Advance]:
    """Yield a function that takes the number of newly finished items (or bytes); `done` of `total` are finished already."""
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
    """Show a bar with the finished items and the remaining time."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    count = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total)
        yield lambda step: progress.advance(task, step)


@contextlib.contextmanager
def _lines(description: str, total: int | None, in_bytes: bool, clock: Callable[[], float] = time.monotonic) -> Iterator[Advance]:
    """Print a line for each tenth (without a total: after each interval)."""
    done, printed, last = 0, 0, clock()

    def advance(step: int) -> None:
        nonlocal done, printed, last
        done += step
        tenth = 10 * done // total if total else printed + 1
        if tenth > printed and clock() - last >= QUIET_SECONDS:
            printed, last = tenth, clock()
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
