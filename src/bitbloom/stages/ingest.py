"""ingest: fetch the raw files of the target's source and write one manifest row for each sample.

python -m bitbloom.stages.ingest petals      # → data/raw/petals/
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitbloom import tasks
from bitbloom.core import canonical, processes
from bitbloom.core.errors import BitBloomError
from bitbloom.core.processes import workers
from bitbloom.core.progress import track
from bitbloom.data import sources
from bitbloom.stages import main

if TYPE_CHECKING:
    import pandas as pd

    from bitbloom.config.target import Target
    from bitbloom.data.sources import SourceFile

READS = ("task", "source")
PARTS = ("samples",)
RELABELS = Path("conf/relabel")
"""One CSV file for each target whose labels were corrected; written by `make relabel`, and a dependency where it exists."""
COLUMNS = ("id", "before", "label")


@dataclass(frozen=True)
class Relabel:
    """A corrected label of a sample, and the one that the source gives."""

    before: str
    label: str


def run(target: Target) -> None:
    """Write data/raw/<target>/: the files and `manifest.parquet`, whole or not at all."""
    source = sources.configured(target.source)
    with canonical.replacing_folder(target.raw) as folder:
        files = sources.load(source.kind).fetch(source, folder, workers())
        files = relabelled(files, relabels_file(target.name))
        manifest = describe_files(files, folder, target.task, source.kind)
        manifest.to_parquet(folder / target.manifest.name, index=False)
    print(f"{len(manifest)} samples of {manifest['label'].nunique()} labels in {target.raw}")


def relabels_file(target: str) -> Path:
    """The file of a target's corrected labels."""
    return RELABELS / f"{target}.csv"


def read_relabels(file: Path) -> dict[str, Relabel]:
    """Read a file of corrected labels, by the ids of the samples. Raises BitBloomError if it has another form."""
    with file.open(encoding="utf-8", newline="") as stream:
        header, *rows = list(csv.reader(stream)) or [[]]
    if tuple(header) != COLUMNS:
        raise BitBloomError(f"{file} has the columns {', '.join(header)}, not {', '.join(COLUMNS)}: restore it from git")
    found: dict[str, Relabel] = {}
    for number, row in enumerate(rows, 2):
        if len(row) != len(COLUMNS) or not all(row):
            raise BitBloomError(
                f"{file}, row {number}: not a value for each of {', '.join(COLUMNS)}: restore the row, or remove it"
            )
        if row[0] in found:
            raise BitBloomError(f"{file}, row {number}: '{row[0]}' has a second label: remove one of the rows")
        found[row[0]] = Relabel(row[1], row[2])
    return found


def relabelled(files: Iterable[SourceFile], overlay: Path) -> list[SourceFile]:
    """Replace the labels that a file of corrected labels has; without the file, nothing changes.

    Raises:
        BitBloomError: the source has no such sample, or gives it another label than when it was corrected.
    """
    found, wanted = list(files), read_relabels(overlay) if overlay.exists() else {}
    _check_relabels({file.id: file.label for file in found}, wanted, overlay)
    return [replace(file, label=wanted[file.id].label) if file.id in wanted else file for file in found]


def _check_relabels(given: Mapping[str, str], wanted: Mapping[str, Relabel], overlay: Path) -> None:
    for id, relabel in wanted.items():
        if id not in given:
            raise BitBloomError(f"{overlay}: the source has no sample '{id}' any more: remove its row")
        if given[id] not in (relabel.before, relabel.label):
            raise BitBloomError(
                f"{overlay}: '{id}' was corrected from '{relabel.before}' to '{relabel.label}', and the source now says "
                f"'{given[id]}': remove its row if that is right"
            )


def describe_files(files: Iterable[SourceFile], folder: Path, task: str, kind: str) -> pd.DataFrame:
    """One row for each sample, sorted by id: facts of the source, the digest of its bytes, and the task's own columns."""
    import pandas as pd  # here: every worker process imports this module, and needs no pandas

    ordered = sorted(files, key=lambda file: file.id)
    describe = partial(_row, folder=folder, task=task, kind=kind)
    rows = track(processes.spread(describe, ordered, workers(), chunk=64), "describe", len(ordered))
    return pd.DataFrame(rows)


def _row(file: SourceFile, folder: Path, task: str, kind: str) -> dict[str, Any]:
    data = file.read(folder)
    return {
        "id": file.id,
        "path": file.path,
        "label": file.label,
        "attributes": json.dumps(dict(file.attributes), sort_keys=True, ensure_ascii=False),
        "source": kind,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        **tasks.samples(task).describe(data, file.attributes),
    }


if __name__ == "__main__":
    main(run, READS)
