"""Build a trial of a search again, from nothing and by the pipeline, and compare it with the history.

make verify SWEEP=petals            # the winner
make verify SWEEP=petals TRIAL=3    # a pruned trial: its curve up to the rung that pruned it
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.core import canonical
from bitbloom.core.digests import file_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.sweep import study
from bitbloom.pipeline import build, composition
from bitbloom.provenance import rebuild

if TYPE_CHECKING:
    from bitbloom.experiments.sweep.history import History
    from bitbloom.experiments.sweep.study import Row


def verify(history: History, number: int | None) -> tuple[Row, list[rebuild.Row]]:
    """Build a trial (None: the winner) up to `train` in a fresh folder without a cache. Returns it with the compared rows.

    Raises:
        BitBloomError: there is no such trial, it has no result to compare, or its build failed.
    """
    row, target = history.row(number), str(history.head["space"]["target"])
    if row.state == study.FAILED:
        raise BitBloomError(f"trial {row.number} failed, so it has no result to compare: {row.failure}")
    with build.build_lock():
        place = rebuild.fresh(target, row.overrides)
        tree = composition.compose(target, row.overrides)
        build.repro(place, target, ("train",), tree, PYTHONPATH=str((place / "src").resolve()))
    return row, compare(row, place / "models" / target, str(history.head["space"]["metric"]))


def compare(row: Row, models: Path, metric: str) -> list[rebuild.Row]:
    """The files of a complete trial by their digests, and the curve of any."""
    rows = [
        rebuild.Row(f"{models.name}/{name}", "train", wanted, file_digest(models / name)) for name, wanted in row.sha256.items()
    ]
    curve = [line[metric] for line in canonical.read_json(models / "training.json")["epochs"]][: len(row.curve)]
    ours, theirs = (canonical.json_line(values).strip() for values in (row.curve, curve))
    return [*rows, rebuild.Row(f"{metric}, {len(row.curve)} epochs", "train", ours, theirs)]
