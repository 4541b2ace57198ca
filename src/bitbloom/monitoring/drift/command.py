"""`bitbloom drift`: the comparison, its files and its exit code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bitbloom.core import canonical
from bitbloom.drift.comparison import Comparison, compare
from bitbloom.drift.observations import REFERENCE, Observations
from bitbloom.monitoring.drift import inputs, page, words

DRIFTED = 3
"""Exit code of a drift."""


@dataclass(frozen=True)
class Result:
    """The comparison in words, its files, and the number of inputs without a prediction."""

    comparison: Comparison
    lines: list[str]
    html: Path
    json: Path
    unread: int


def run(target: str, log: str, data: Path | None, out: Path, most: int, workspace: Path = Path()) -> Result:
    """Compare the rows of a log, or the files of `data`, with the target's reference; write drift.html and drift.json to `out`.

    Raises:
        BitBloomError: an input is missing or cannot be compared.
    """
    model = workspace / "models" / target
    reference = Observations.read([model / REFERENCE])
    current, unread = inputs.of_files(model, data) if data else (inputs.of_log(log, most, reference.kind), 0)
    found = compare(reference, current)
    html = page.write(workspace / "data/processed" / target, target, data.name if data else log, found, reference, current)
    canonical.write_text(out / "drift.html", html)
    canonical.write_text(out / "drift.json", found.to_json())
    lines = [words.verdict(found), *words.changes(found, reference, current)]
    return Result(found, lines, out / "drift.html", out / "drift.json", unread)
