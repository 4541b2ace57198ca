"""ingest: fetch the raw files of the target's source and write one manifest row for each sample.

python -m bitbloom.stages.ingest petals      # → data/raw/petals/
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitbloom import tasks
from bitbloom.core import canonical, processes
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


def run(target: Target) -> None:
    """Write data/raw/<target>/: the files and `manifest.parquet`, whole or not at all."""
    source = sources.configured(target.source)
    with canonical.replacing_folder(target.raw) as folder:
        files = sources.load(source.kind).fetch(source, folder, workers())
        manifest = describe_files(files, folder, target.task, source.kind)
        manifest.to_parquet(folder / target.manifest.name, index=False)
    print(f"{len(manifest)} samples of {manifest['label'].nunique()} labels in {target.raw}")


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
