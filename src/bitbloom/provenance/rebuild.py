"""Verify: build again in a fresh folder without a cache, and compare every digest with the working tree's expected digests.

    bitbloom verify petals                  # called by `make verify`
    bitbloom verify petals --until train

The folder has copies of the code and the configuration. It is kept, so its outputs can be attested and its ledger compared
(`bitbloom diff`).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import build, claim, composition, graph
from bitbloom.pipeline.recovery import STATE
from bitbloom.stages import STAGES

SHOWN_DIGITS = 16


@dataclass(frozen=True)
class Row:
    """One artifact: its stage, its expected digest, and the digest of the rebuild."""

    artifact: str
    stage: str
    expected: str
    got: str

    @property
    def same(self) -> bool:
        """Whether the rebuilt artifact has the expected digest."""
        return self.expected == self.got


def verify(target: str, until: str = "all") -> list[Row]:
    """Rebuild a target up to a stage. Returns a row for each artifact and each stage's record in dvc.lock, in build order.

    Raises:
        BitBloomError: the target has no expected digests, or a stage failed.
    """
    tree = composition.compose(target)
    last = graph.last_stages(until, target, tree)
    expected, recorded = claim.read(target), records(Path(), target)
    place = fresh(target)
    build.repro(place, target, last, tree, PYTHONPATH=str((place / "src").resolve()))
    return compare(target, until, expected, recorded, place)


def workspace(target: str, overrides: Sequence[str] = ()) -> Path:
    """The workspace of a target's rebuild."""
    return STATE / "verify" / (build.workspace(target, overrides).name if overrides else target)


def fresh(target: str, overrides: Sequence[str] = ()) -> Path:
    """A new workspace with copies of the code and the configuration, and a separate empty DVC cache."""
    place, tree = workspace(target, overrides), composition.compose(target, overrides)
    build.require_external(tree, target)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for shared in map(Path, build.SHARED):
        if shared.is_dir():
            shutil.copytree(shared, place / shared, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copyfile(shared, place / shared)
    build.create_workspace(place, target, tree, cache=None)
    return place


def records(where: Path, target: str) -> dict[str, Any]:
    """The records of stages in a target's dvc.lock in a workspace, by name."""
    lock = where / graph.lock(target)
    return dict(yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]) if lock.exists() else {}


def compare(target: str, until: str, expected: dict[str, Any], recorded: dict[str, Any], place: Path) -> list[Row]:
    """The rows of a rebuilt workspace."""
    built, rebuilt = claim.current(target, place, until), records(place, target)
    made_by = claim.artifacts(target, until)
    rows = [
        Row(path, stage, str(expected.get(path, {}).get("sha256", "nothing")), str(built[path]["sha256"]))
        for path, stage in made_by.items()
    ]
    if until == "all":
        gone = {path: entry for path, entry in expected.items() if path not in made_by}
        rows += [Row(path, STAGES[-1], str(entry["sha256"]), "nothing") for path, entry in gone.items()]
    for stage in sorted(set(made_by.values()), key=STAGES.index):
        rows.append(Row(f"dvc.lock: {stage}", stage, _short_record(recorded.get(stage)), _short_record(rebuilt.get(stage))))
    return sorted(rows, key=lambda row: STAGES.index(row.stage))


def _short_record(record: dict[str, Any] | None) -> str:
    """The digest of a stage's record in dvc.lock."""
    import hashlib

    return "nothing" if record is None else hashlib.sha256(yaml.safe_dump(record, sort_keys=True).encode()).hexdigest()


def show(target: str, rows: Sequence[Row], ours: Path | None = None, theirs: Path | None = None) -> None:
    """Print the table and the verdict of a target, or of another build whose models are in `ours` and `theirs`.

    Raises:
        BitBloomError: an artifact differs; the message names the first different stage.
    """
    table = Table("artifact", "expected", "got", "same", title=f"{target}, built again")
    for row in rows:
        table.add_row(row.artifact, row.expected[:SHOWN_DIGITS], row.got[:SHOWN_DIGITS], "yes" if row.same else "[red]NO[/red]")
    Console(width=None if Console().is_terminal else 120).print(table)
    different = [row for row in rows if not row.same]
    if not different:
        print(f"{target}: all {len(rows)} are the same")
        return
    first = different[0].stage
    message = f"{target}: {len(different)} of {len(rows)} differ, stage '{first}' first"
    if first == "train":
        message += f"; where: bitbloom diff {ours or f'models/{target}'} {theirs or f'{workspace(target)}/models/{target}'}"
    raise BitBloomError(message)
