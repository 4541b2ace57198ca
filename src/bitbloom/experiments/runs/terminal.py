"""A comparison as text for a terminal or a log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bitbloom.experiments.runs import curves

if TYPE_CHECKING:
    from bitbloom.experiments.runs.compare import Comparison, Metric, Section
    from bitbloom.experiments.runs.record import Run

LONGEST = 32
"""Characters of a cell; a longer one is cut in the middle."""
SHOWN = 40
"""Largest number of lines of a section; the page has all."""
NAMED = 3
"""Number of names of what only some runs have."""


def text(comparison: Comparison) -> str:
    """All parts of a comparison."""
    parts = [_heads(comparison), *(_section(section, comparison.letters) for section in comparison.inputs)]
    parts += [_metrics(comparison), *(_section(section, comparison.letters) for section in comparison.outputs)]
    parts += [_curve(name, points, comparison.letters) for name, points in comparison.curves.items()]
    return "\n\n".join("\n".join(part) for part in parts)


def described(run: Run) -> list[str]:
    """Id, time, target, configuration, commit, duration and last stage of a run."""
    when = f"{run.when[:10]} {run.when[11:16]}" if run.when else "–"
    seconds = "–" if run.seconds is None else f"{run.seconds:.0f} s"
    return [run.short, when, run.target, run.configured, run.committed_as, seconds, run.until or run.origin]


def _heads(comparison: Comparison) -> list[str]:
    rows = [[letter, *described(run)] for letter, run in zip(comparison.letters, comparison.runs, strict=True)]
    return list(_aligned(rows, cut=False))


def _section(section: Section, letters: str) -> list[str]:
    lines = [f"{section.title}: {section.verdict}"]
    rows = [[line.name, *line.cells] for line in section.changed[:SHOWN]]
    if rows:
        lines += [f"  {line}" for line in _aligned([["", *letters], *rows])]
    if len(section.changed) > SHOWN:
        lines.append(f"  … and {len(section.changed) - SHOWN} more: the page has all")
    for holders, only in section.partial.items():
        names = ", ".join(line.name for line in only[:NAMED])
        lines.append(f"  only in {holders}: {names}{f' and {len(only) - NAMED} more' if len(only) > NAMED else ''}")
    return lines


def _metrics(comparison: Comparison) -> list[str]:
    if not comparison.metrics:
        return ["Metrics: none recorded"]
    rows = [[metric.name.replace("_", " "), *metric_cells(metric)] for metric in comparison.metrics]
    return ["Metrics of the test split", *(f"  {line}" for line in _aligned([["", *comparison.letters], *rows]))]


def metric_cells(metric: Metric) -> list[str]:
    """A metric in each run, with the difference from the first one."""
    return [
        "–" if value is None else number_with_difference(value, difference)
        for value, difference in zip(metric.values, metric.differences, strict=True)
    ]


def number_with_difference(value: float, difference: float | None) -> str:
    """`0.9694 (+0.0022)`; `0.9694 (=)` for an equal value."""
    if difference is None:
        return f"{value:.6g}"
    return f"{value:.6g} ({f'{difference:+.4g}' if difference else '='})"


def _curve(name: str, points: Sequence[curves.Points], letters: str) -> list[str]:
    ends = [f"{letter} {curves.number_text(curve[-1][1])}" for letter, curve in zip(letters, points, strict=True) if curve]
    return [f"{name.replace('_', ' ')}: at the end {', '.join(ends)}", *curves.text_chart(points)]


def _aligned(rows: Sequence[Sequence[str]], cut: bool = True) -> Iterator[str]:
    """Rows with columns of equal width."""
    cells = [[_cut(cell) if cut and number else cell for number, cell in enumerate(row)] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for row in cells:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _cut(cell: str) -> str:
    half = (LONGEST - 1) // 2
    return cell if len(cell) <= LONGEST else f"{cell[:half]}…{cell[-half:]}"
