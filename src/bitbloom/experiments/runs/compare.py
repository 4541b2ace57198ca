"""What differs between runs: configuration, code, locks and data, metrics, digests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bitbloom.core.errors import BitBloomError

if TYPE_CHECKING:
    from bitbloom.experiments.runs.record import Run

MOST = 8
"""Largest number of runs in a comparison: each has its letter, colour and dashes."""
LETTERS = "ABCDEFGH"
ABSENT, UNKNOWN = "absent", "not recorded"
DIGITS = 12
"""Digits of a digest in a cell."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """One key: its text in each run, and whether the recorded values are equal."""

    name: str
    cells: tuple[str, ...]
    equal: bool


@dataclass(frozen=True)
class Section:
    """A subject: all lines, sorted by name, and the letters of the runs that do not record it."""

    title: str
    lines: list[Line]
    unknown: str = ""

    @property
    def different(self) -> list[Line]:
        """The lines that differ."""
        return [line for line in self.lines if not line.equal]

    @property
    def verdict(self) -> str:
        """The number of differences in words."""
        if not self.lines:
            return "none recorded"
        count = len(self.different)
        return f"all {len(self.lines)} equal" if not count else f"{count} of {len(self.lines)} differ"


@dataclass(frozen=True)
class Metric:
    """A metric: its value in each run, and each difference from the first run that has it."""

    name: str
    values: tuple[float | None, ...]
    differences: tuple[float | None, ...]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        runs: in the order of the command; the first one is `A`.
        inputs: sections of configuration, code, locks and data.
        outputs: sections of digests and outputs.
        metrics: of the test split.
        curves: name → the points (epoch, value) of each run.
    """

    runs: list[Run]
    inputs: list[Section]
    outputs: list[Section]
    metrics: list[Metric]
    curves: dict[str, list[list[tuple[float, float]]]] = field(default_factory=dict)

    @property
    def letters(self) -> str:
        """One letter for each run."""
        return LETTERS[: len(self.runs)]


def compare(runs: Sequence[Run]) -> Comparison:
    """Compare runs. Raises BitBloomError unless there are 2 to MOST different ones."""
    if len(runs) < 2:
        raise BitBloomError("name at least two runs: `bitbloom runs` lists them")
    if len(runs) > MOST:
        raise BitBloomError(f"{len(runs)} runs are too many for one comparison: name at most {MOST}")
    for number, run in enumerate(runs):
        if any(run == other for other in runs[:number]):
            raise BitBloomError(f"run {run.id} is named twice")
    inputs = [
        _section("Configuration", [flat(run.config) or None for run in runs], value_text),
        _section("Code files", [run.code for run in runs], short_digest),
        _section("Locks", [run.locks for run in runs], short_digest),
        _section("Data", [run.data for run in runs], short_digest),
    ]
    outputs = [
        _section("Digests", [run.digests or None for run in runs], short_digest),
        _section("Outputs", [run.outputs for run in runs], short_digest),
    ]
    return Comparison(list(runs), inputs, outputs, list(_metrics(runs)), _curves(runs))


def flat(tree: Values, above: str = "") -> dict[str, Any]:
    """The leaves of a tree by dotted name; a list is a leaf."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{above}{key}"
        found |= flat(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return found


def value_text(value: Any) -> str:
    """A value of the configuration as it is written in YAML, on one line."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list):
        return f"[{', '.join(map(value_text, value))}]"
    return " ".join(str(value).split()) or "''"


def short_digest(value: Any) -> str:
    """The first digits of a digest."""
    return str(value)[:DIGITS]


def _section(title: str, values: Sequence[Values | None], text: Callable[[Any], str]) -> Section:
    unknown = "".join(letter for letter, each in zip(LETTERS, values, strict=False) if each is None)
    names = sorted({name for each in values if each is not None for name in each})
    lines = [_line(name, values, text) for name in names]
    return Section(title, lines, unknown)


def _line(name: str, values: Sequence[Values | None], text: Callable[[Any], str]) -> Line:
    cells, recorded = [], []
    for each in values:
        if each is None:
            cells.append(UNKNOWN)
        elif name not in each:
            cells.append(ABSENT)
            recorded.append((False, None))
        else:
            cells.append(text(each[name]))
            recorded.append((True, each[name]))
    return Line(name, tuple(cells), all(value == recorded[0] for value in recorded))


def _metrics(runs: Sequence[Run]) -> Iterator[Metric]:
    for name in sorted({name for run in runs for name in run.metrics}):
        values = tuple(run.metrics.get(name) for run in runs)
        first = next(number for number, value in enumerate(values) if value is not None)
        differences = tuple(
            None if value is None or number == first else value - (values[first] or 0.0) for number, value in enumerate(values)
        )
        yield Metric(name, values, differences)


def _curves(runs: Sequence[Run]) -> dict[str, list[list[tuple[float, float]]]]:
    names = {name: None for run in runs for name in run.curve_names}
    ordered = sorted(names, key=lambda name: ("loss" not in name, name))
    return {name: [[(row["epoch"], row[name]) for row in run.curves if name in row] for run in runs] for name in ordered}
