"""A comparison as one self-contained HTML page, which a browser shows without network or script. Equal runs give equal bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.core import canonical
from bitbloom.experiments import page
from bitbloom.experiments.runs import curves
from bitbloom.experiments.runs.terminal import described, metric_cells

if TYPE_CHECKING:
    from bitbloom.experiments.runs.compare import Comparison

TEMPLATES = Path(__file__).parent / "templates"
FOLDER = Path("reports/compare")
"""Git ignores it."""
WIDTH, HEIGHT = 340, 210
"""Of a chart, in CSS pixels of a narrow window."""
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 30
"""Margins of a chart."""
DASHES = ("", "6 4", "2 3", "9 3 2 3", "12 4", "1 4", "8 2 8 6", "4 2")
"""Dashes of a run's curves, so that colours are not needed to tell them apart."""


@dataclass(frozen=True)
class Chart:
    """Curves of one metric, in the coordinates of its SVG.

    Attributes:
        name: of the metric.
        across: place and label of the ticks of the epochs.
        up: place and label of the ticks of the values.
        lines: number of the run, and its path; a run without the metric has no line.
        ends: number of the run, and place and text of its last value.
    """

    name: str
    across: list[tuple[str, str]]
    up: list[tuple[str, str]]
    lines: list[tuple[int, str]]
    ends: list[tuple[int, str, str, str]]


def write(comparison: Comparison, path: Path | None = None) -> Path:
    """Write the page, whole or not at all, and return its path."""
    path = path or FOLDER / f"{'-'.join(run.short for run in comparison.runs)}.html"
    canonical.write_text(path, render(comparison))
    return path


def render(comparison: Comparison) -> str:
    """The page. All names are escaped."""
    return (
        page.environment(TEMPLATES)
        .get_template("compare.html.j2")
        .render(
            comparison=comparison,
            heads=list(zip(comparison.letters, comparison.runs, map(described, comparison.runs), strict=True)),
            charts=list(charts(comparison)),
            metric_cells=metric_cells,
            dashes=DASHES,
            frame={"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM},
        )
    )


def charts(comparison: Comparison) -> Iterator[Chart]:
    """A chart for each curve that a run has."""
    for name, points in comparison.curves.items():
        axes = curves.scale(points)
        yield Chart(
            name.replace("_", " "),
            [(_x(axes, tick), curves.number_text(tick)) for tick in _whole(curves.ticks(axes.left, axes.right))],
            [(_y(axes, tick), curves.number_text(tick)) for tick in curves.ticks(axes.low, axes.high)],
            [(number, _path(axes, curve)) for number, curve in enumerate(points) if curve],
            [
                (number, _x(axes, curve[-1][0]), _y(axes, curve[-1][1]), curves.number_text(curve[-1][1]))
                for number, curve in enumerate(points)
                if curve
            ],
        )


def _whole(ticks: Sequence[float]) -> list[float]:
    """Those of the ticks that are epochs."""
    return [tick for tick in ticks if tick == int(tick)]


def _path(axes: curves.Scale, curve: curves.Points) -> str:
    return "M" + " L".join(f"{_x(axes, x)} {_y(axes, y)}" for x, y in curve)


def _x(axes: curves.Scale, epoch: float) -> str:
    return f"{LEFT + axes.across(epoch) * (WIDTH - LEFT - RIGHT):.1f}"


def _y(axes: curves.Scale, value: float) -> str:
    return f"{HEIGHT - BOTTOM - axes.up(value) * (HEIGHT - TOP - BOTTOM):.1f}"
