"""The table of runs: sorted, filtered, for a terminal, a log or a program."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.runs.curves import number_text
from bitbloom.experiments.runs.record import SHORT, Run, as_json

LEAST = ("loss", "error", "rank", "seconds")
"""Ends of the names of numbers of which less is better."""
LOG_COLUMNS = 170
"""Width of the table in a log."""
DIGESTS = ("data", "weights", "model", "Bento")
"""The digests in the last column, as in the summary of a build."""
COLUMNS = ("id", "when (UTC)", "target", "configuration", "commit", "metrics", "seconds", ", ".join(DIGESTS))


def ordered(runs: Sequence[Run], key: str | None) -> list[Run]:
    """Runs sorted by a metric, the best first, or by `when` or `seconds`; those without it are last, in the given order.

    Raises:
        BitBloomError: no run has such a number.
    """
    if key is None or not runs:
        return list(runs)
    if key == "when":
        return sorted(runs, key=lambda run: run.when, reverse=True)
    known = sorted({name for run in runs for name in run.metrics})
    if key != "seconds" and key not in known:
        raise BitBloomError(f"no run has the metric '{key}': sort by when, seconds{''.join(f', {name}' for name in known)}")
    sign = 1 if key.endswith(LEAST) else -1
    numbers = {run.id: run.seconds if key == "seconds" else run.metrics.get(key) for run in runs}
    return sorted(runs, key=lambda run: (numbers[run.id] is None, sign * (numbers[run.id] or 0.0)))


def json_text(runs: Sequence[Run]) -> str:
    """The runs as a JSON array with all that is recorded."""
    return canonical.json_text([as_json(run) for run in runs])


def show(runs: Sequence[Run], sort: str | None = None) -> None:
    """Print the table."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else LOG_COLUMNS
    Console(width=width, highlight=False).print(table(runs, sort))


def table(runs: Sequence[Run], sort: str | None = None) -> Table:
    """The table; the metric of the order is shown first."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in COLUMNS:
        made.add_column(name, justify="right" if name == "seconds" else "left", no_wrap=name in COLUMNS[:2])
    for run in runs:
        made.add_row(*map(Text, cells(run, sort)))
    return made


def cells(run: Run, sort: str | None = None) -> list[str]:
    """The cells of a run."""
    first = {sort: run.metrics[sort]} if sort in run.metrics else {}
    metrics = dict(list((first | run.headlines).items())[:2])
    return [
        run.short,
        f"{run.when[:10]} {run.when[11:16]}" if run.when else "–",
        run.target,
        run.configured,
        run.committed_as,
        ", ".join(f"{name.replace('_', ' ')} {number_text(value)}" for name, value in metrics.items()) or "–",
        "–" if run.seconds is None else f"{run.seconds:.0f}",
        " ".join(run.digests.get(name, "–")[:SHORT] for name in DIGESTS),
    ]
