"""Curves of several runs in one chart: the scale of both axes, and the chart as text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bitbloom.experiments.runs.compare import LETTERS

Points = Sequence[tuple[float, float]]
WIDTH, HEIGHT = 64, 11
"""Characters of a chart as text, inside of its axes."""
SEVERAL = "*"
"""The mark where curves of several runs meet."""
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """The range of the values of curves, never empty."""

    left: float
    right: float
    low: float
    high: float

    def across(self, x: float) -> float:
        """The place of an epoch, 0 to 1."""
        return (x - self.left) / (self.right - self.left)

    def up(self, y: float) -> float:
        """The place of a value, 0 to 1."""
        return (y - self.low) / (self.high - self.low)


def scale(curves: Sequence[Points]) -> Scale:
    """The scale on which all curves fit."""
    points = [point for curve in curves for point in curve]
    left, right = _range([x for x, _ in points])
    low, high = _range([y for _, y in points])
    return Scale(left, right, low, high)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """At most `most` round numbers in a range."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    for factor in STEPS:
        step = factor * power
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            return [round(number * step, 12) for number in range(first, last + 1)]
    return [low, high]


def number_text(value: float) -> str:
    """A number with four significant digits, without an exponent where it has a usual size."""
    return f"{value:.4g}"


def text_chart(curves: Sequence[Points]) -> Iterator[str]:
    """The lines of a chart of characters: each run has its letter, and `*` is on several curves."""
    axes = scale(curves)
    grid = [[" "] * WIDTH for _ in range(HEIGHT)]
    for letter, curve in zip(LETTERS, curves, strict=False):
        for column, value in _columns(curve, axes):
            row = HEIGHT - 1 - round(axes.up(value) * (HEIGHT - 1))
            grid[row][column] = letter if grid[row][column] in (" ", letter) else SEVERAL
    labels = {0: number_text(axes.high), HEIGHT - 1: number_text(axes.low)}
    wide = max(map(len, labels.values()))
    for row, cells in enumerate(grid):
        yield f"{labels.get(row, ''):>{wide}} │{''.join(cells)}".rstrip()
    yield f"{'':>{wide}} └{'─' * WIDTH}"
    left, right = number_text(axes.left), number_text(axes.right)
    yield f"{'':>{wide}}  {left}{'epoch':^{WIDTH - len(left) - len(right)}}{right}"


def _columns(curve: Points, axes: Scale) -> Iterator[tuple[int, float]]:
    """Column and value of a curve where it has points, and linear between them."""
    places = [(round(axes.across(x) * (WIDTH - 1)), y) for x, y in curve]
    for (start, before), (end, after) in itertools.pairwise(places):
        for column in range(start, end):
            yield column, before + (after - before) * (column - start) / (end - start)
    yield from places[-1:]


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Smallest and largest value; one value alone has a range around it."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if low == high:
        around = abs(low) * 0.1 or 1.0
        return low - around, high + around
    return low, high
