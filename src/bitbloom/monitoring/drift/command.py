"""`bitbloom drift`: the comparison, its files and its exit code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bitbloom.core import canonical
from bitbloom.core.digests import file_digest
from bitbloom.drift.comparison import Comparison, compare
from bitbloom.drift.observations import REFERENCE, Observations
from bitbloom.monitoring.drift import inputs, page, words
from bitbloom.serving import model_files

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
    if log and other_model(model, current):
        lines.append(f"The rows are of another model than {model}: embeddings and confidences may differ for that reason alone.")
    return Result(found, lines, out / "drift.html", out / "drift.json", unread)


def other_model(folder: Path, rows: Observations) -> bool:
    """Whether the rows of a log come from another model than those that a target's folder has, if it has one."""
    if model_files.writes_captions(folder):
        known = {model_files.digest(model_files.files(folder))}
    else:
        known = {file_digest(path) for path in folder.glob("model*.onnx")}  # a service runs the first one, or that of 8 bits
    return bool(known) and rows.texts("model_digest")[-1] not in known
