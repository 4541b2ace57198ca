"""ingest: fetch the raw files of the target's source and write one manifest row for each sample.

python -m bitbloom.stages.ingest petals      # → data/raw/petals/
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitbloom import tasks
from bitbloom.core import bounded, canonical
from bitbloom.core.processes import workers
from bitbloom.core.progress import track
from bitbloom.data import manifest, sources
from bitbloom.data.relabels import Relabels
from bitbloom.stages import main

if TYPE_CHECKING:
    from bitbloom.config.target import Target
    from bitbloom.data.sources import SourceFile

READS = ("task", "source")
PARTS = ("samples",)


def run(target: Target) -> None:
    """Write data/raw/<target>/: the files and `manifest.parquet`, whole or not at all."""
    source, relabels = sources.configured(target.source), Relabels.of(target.name)
    with canonical.replacing_folder(target.raw) as folder:
        files = sources.in_order(source, folder, workers())
        rows = describe_files(relabels.apply(files), folder, target.task, source.kind)
        if isinstance(files, list):  # a stream shows its own progress
            rows = track(rows, "describe", len(files))
        count, labels = manifest.write(rows, folder / target.manifest.name)
        relabels.check_applied()
    print(f"{count} samples of {labels} labels in {target.raw}")


def describe_files(files: Iterable[SourceFile], folder: Path, task: str, kind: str) -> Iterator[dict[str, Any]]:
    """Yield a row for each sample, in order: facts of the source, the digest of its bytes, and the task's own columns."""
    return bounded.spread(partial(_row, folder=folder, task=task, kind=kind), files, workers(), chunk=64)


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
