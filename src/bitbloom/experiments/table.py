"""The experiments of one target as a table that fits a screen: its metrics, and the parameters in which they differ.

    bitbloom experiments petals                 # called by `make experiments`

`dvc exp show` has a column for each metric, parameter and dependency of all targets, and no setting for fewer. This table has the
rows of its `--json`: the workspace, commits, and the experiments of `dvc exp run` that start from them.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import hexdigits
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bitbloom.config.target import params_path
from bitbloom.core.errors import BitBloomError

MISSING = "-"
BLANKS = 2
"""Blanks between two columns of a table."""
COMMIT, SHORT = 40, 7
"""Length of a commit's hash, and of what is shown of it."""
DIGITS = 5
"""Significant digits of a number, as DVC shows it."""


@dataclass(frozen=True)
class Row:
    """One state of a target: its name, and its metrics and parameters by dotted keys."""

    name: str
    metrics: Mapping[str, Any]
    params: Mapping[str, Any]


def rows(target: str, commits: int = 1) -> list[Row]:
    """The workspace, the last commits, and their experiments. Raises BitBloomError when DVC fails."""
    done = subprocess.run(["dvc", "exp", "show", "--json", "--num", str(commits)], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise BitBloomError("dvc exp show failed; see the message above")
    return [row for state in json.loads(done.stdout) for row in _state_rows(state, target)]


def _state_rows(state: Mapping[str, Any], target: str) -> Iterator[Row]:
    yield _row(state, target, _name(state))
    for experiment in state["experiments"] or ():
        execution = (experiment["executor"] or {}).get("state", "success")
        name = f"  {experiment['name'] or _name(experiment['revs'][0])}"
        yield _row(experiment["revs"][0], target, name if execution == "success" else f"{name} ({execution})")


def _name(state: Mapping[str, Any]) -> str:
    """The name of a branch or experiment, `workspace`, or the beginning of a commit."""
    name: str = state["name"] or state["rev"]
    return name[:SHORT] if len(name) == COMMIT and set(name) <= set(hexdigits) else name


def _row(state: Mapping[str, Any], target: str, name: str) -> Row:
    data = state["data"] or {}
    files = {"metrics": Path("reports") / target / "metrics.json", "params": params_path(target)}
    found = {kind: data.get(kind, {}).get(file.as_posix(), {}).get("data") or {} for kind, file in files.items()}
    return Row(name, **{kind: dict(_flat(values)) for kind, values in found.items()})


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def table(found: Sequence[Row], width: int) -> Table:
    """A row for each state, or a column if only that fits: its metrics, and the parameters that are not the same in all."""
    metrics = dict.fromkeys(name for row in found for name in row.metrics)
    params = [name for name in dict.fromkeys(name for row in found for name in row.params) if _differs(name, found)]
    columns = [["experiment", *(row.name for row in found)]]
    columns += [[name.replace("_", " "), *(_text(row.metrics.get(name)) for row in found)] for name in metrics]
    columns += [[name.replace(".", " ").replace("_", " "), *(_text(row.params.get(name)) for row in found)] for name in params]
    stacked = [[name.replace(" ", "\n"), *cells] for name, *cells in columns]
    lying = [list(cells) for cells in zip(*columns, strict=True)]
    return _table(next((each for each in (columns, stacked, lying) if _width(each) <= width), stacked))


def _width(columns: Sequence[Sequence[str]]) -> int:
    return sum(max(len(line) for cell in column for line in cell.split("\n")) + BLANKS for column in columns) - BLANKS


def _table(columns: Sequence[Sequence[str]]) -> Table:
    """A table of columns, each with its name first."""
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for position, (name, *_) in enumerate(columns):
        shown.add_column(Text(name), justify="right" if position else "left", vertical="bottom")
    for cells in zip(*(cells for _, *cells in columns), strict=True):
        shown.add_row(*map(Text, cells))
    return shown


def _differs(name: str, found: Sequence[Row]) -> bool:
    values = [row.params[name] for row in found if name in row.params]
    return any(value != values[0] for value in values)


def _text(value: Any) -> str:
    if value is None:
        return MISSING
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


def show(target: str, commits: int = 1) -> None:
    """Print the table of a target. Raises BitBloomError when it has no metrics yet."""
    found = rows(target, commits)
    if not any(row.metrics for row in found):
        raise BitBloomError(f"target '{target}' has no metrics here: run `make evaluate TARGET={target}` first")
    console = Console(highlight=False)
    console.print(table(found, console.width))
