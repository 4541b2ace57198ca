"""Real data sets through the gate. Findings that were looked at and are right are in `reviewed.json`; others are false alarms."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from omegaconf import OmegaConf

from bitbloom.core import canonical
from bitbloom.data.importing import import_data
from bitbloom.data.sources import OwnDataSource, coco_folder, folder, tweets_csv
from bitbloom.pipeline import composition
from bitbloom.stages.ingest import describe_files
from bitbloom.validation.check import check, suite_path
from bitbloom.validation.verdict import FAILED

REVIEWED = Path(__file__).with_name("reviewed.json")
"""Set → expectation → ids whose finding is right."""
SETS: dict[str, tuple[str, str, OwnDataSource, Sequence[str]]] = {
    "flowers.tar": ("petals", "petals-folder", folder, ()),
    "flowers_original.tar": ("petals", "petals-folder", folder, ("gate.class_rows=6",)),
    "flowers102_64px.tar": ("petals", "petals-folder", folder, ()),
    "captions.tar": ("captions", "captions-folder", coco_folder, ()),
    "disaster_tweets.csv": ("tweets", "tweets-kaggle", tweets_csv, ()),
}
"""File → task, target whose bounds apply, source, and changes of the bounds."""


@dataclass(frozen=True)
class Finding:
    """Rows of a real set that fail an expectation."""

    data: str
    rows: int
    name: str
    severity: str
    ids: tuple[str, ...]
    count: int


def findings(job: tuple[str, str]) -> tuple[str, int, list[Finding]]:
    """Check a file of a folder with the bounds of its target. Returns its name, its rows and what fails."""
    where, name = job
    task, target, source, overrides = SETS[name]
    given = (Path(where) / name).resolve()
    gate = OmegaConf.to_object(composition.compose(target, overrides).gate)
    suite = suite_path(task).resolve()
    with tempfile.TemporaryDirectory() as temporary:
        raw, imported = Path(temporary) / "raw", Path(temporary) / "imported"
        raw.mkdir()
        import_data(given, imported, source)
        files = source.fetch(source.Config(path=str(imported)), raw)
        os.environ["WORKERS"] = "1"  # the sets run in parallel already
        table = pd.DataFrame(describe_files(files, raw, task, source.Config.kind))
    failed = check(table, suite, gate).with_outcome(FAILED)
    found = [Finding(name, len(table), one.name, one.severity, tuple(row["id"] for row in one.rows), one.count) for one in failed]
    return name, len(table), found


def reviewed() -> dict[str, dict[str, list[str]]]:
    """Return the findings that were looked at and are right."""
    return dict(canonical.read_json(REVIEWED)) if REVIEWED.exists() else {}
