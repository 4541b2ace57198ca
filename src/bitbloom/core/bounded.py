"""Worker processes over a stream: the results in order, and a bounded number of items in memory.

`processes.spread` hands over all items at once, which suits a list.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

from bitbloom.core.processes import end_with_parent

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 4
"""Chunks for each worker that are read before their results are needed, so that no worker waits."""


def spread(function: Callable[[Item], Result], items: Iterable[Item], workers: int, chunk: int) -> Iterator[Result]:
    """Apply a function to items in order; with several workers, new processes receive the items in chunks of `chunk`.

    At most AHEAD × `workers` chunks are in memory, as items or as results.
    """
    if workers == 1:
        yield from map(function, items)
        return
    chunks = chunked(items, chunk)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        waiting = deque(pool.submit(_each, function, items) for items in islice(chunks, AHEAD * workers))
        while waiting:
            yield from waiting.popleft().result()
            waiting.extend(pool.submit(_each, function, items) for items in islice(chunks, 1))


def chunked(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items in lists of `size`; the last one can be shorter."""
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk


def _each(function: Callable[[Item], Result], items: list[Item]) -> list[Result]:
    return [function(item) for item in items]
