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
    """One key: its text in each run, whether the values are equal, and the letters of the runs that have it, if not all do."""

    name: str
    cells: tuple[str, ...]
    equal: bool
    holders: str = ""


@dataclass(frozen=True)
class Section:
    """A subject: all lines, sorted by name, and the letters of the runs that do not record it."""

    title: str
    lines: list[Line]
    unknown: str = ""

    @property
    def changed(self) -> list[Line]:
        """The lines of all runs that differ."""
        return [line for line in self.lines if not line.equal and not line.holders]

    @property
    def equal(self) -> list[Line]:
        """The lines that are equal."""
        return [line for line in self.lines if line.equal]

    @property
    def partial(self) -> dict[str, list[Line]]:
        """Letters of the only runs that have them → lines. A stage that one run has not reached has many."""
        holders = sorted({line.holders for line in self.lines if line.holders})
        return {each: [line for line in self.lines if line.holders == each] for each in holders}

    @property
    def verdict(self) -> str:
        """What differs, in numbers."""
        if not self.lines:
            return "none recorded"
        changed, compared = len(self.changed), len(self.changed) + len(self.equal)
        equal = f"all {compared} equal" if compared > 1 else "1 equal"
        parts = [f"{changed} of {compared} differ" if changed else equal] if compared else []
        parts += [f"{len(lines)} only in {holders}" for holders, lines in self.partial.items()]
        parts += [f"not recorded in {self.unknown}"] if self.unknown else []
        return ", ".join(parts)


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
    def title(self) -> str:
        """The targets, each once, and the number of runs."""
        return f"{', '.join(dict.fromkeys(run.target for run in self.runs))}: {len(self.runs)} runs"

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
    having = {number: each[name] for number, each in enumerate(values) if each is not None and name in each}
    recorded = [number for number, each in enumerate(values) if each is not None]
    cells = [
        text(having[number]) if number in having else ABSENT if number in recorded else UNKNOWN for number in range(len(values))
    ]
    if len(having) < len(recorded):
        return Line(name, tuple(cells), False, "".join(LETTERS[number] for number in having))
    first = next(iter(having.values()))
    return Line(name, tuple(cells), all(value == first for value in having.values()))


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
