"""ingest: fetch the raw files of the target's source and write one manifest row for each sample.

python -m bitbloom.stages.ingest petals      # → data/raw/petals/
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bitbloom import tasks
from bitbloom.core import canonical, processes
from bitbloom.core.processes import workers
from bitbloom.core.progress import track
from bitbloom.data import sources
from bitbloom.data.relabels import Relabels
from bitbloom.stages import main

if TYPE_CHECKING:
    import pandas as pd

    from bitbloom.config.target import Target
    from bitbloom.data.sources import SourceFile, StreamingSource

READS = ("task", "source")
PARTS = ("samples",)


def run(target: Target) -> None:
    """Write data/raw/<target>/: the files and `manifest.parquet`, whole or not at all."""
    source = sources.configured(target.source)
    module, relabels = sources.load(source.kind), Relabels.of(target.name)
    with canonical.replacing_folder(target.raw) as folder:
        file = folder / target.manifest.name
        if hasattr(module, "stream"):
            groups = cast("StreamingSource", module).stream(source, folder, workers())
            tables = (describe_files(relabels.apply(files), folder, target.task, source.kind) for files in groups)
            count, labels = write_groups(tables, file)
        else:
            files = relabels.apply(module.fetch(source, folder, workers()))
            manifest = describe_files(files, folder, target.task, source.kind)
            manifest.to_parquet(file, index=False)
            count, labels = len(manifest), manifest["label"].nunique()
        relabels.check_applied()
    print(f"{count} samples of {labels} labels in {target.raw}")


def write_groups(tables: Iterable[pd.DataFrame], file: Path) -> tuple[int, int]:
    """Write a manifest with a row group for each table, one after another. Returns the number of rows and of labels."""
    import pyarrow as arrow
    from pyarrow.parquet import ParquetWriter

    count, labels = 0, set[str]()
    with contextlib.ExitStack() as stack:
        writer: ParquetWriter | None = None
        for table in tables:
            if writer is None:  # a column that is empty in the first group has no type there; such columns are texts
                first = arrow.Table.from_pandas(table, preserve_index=False).schema
                fields = [one.with_type(arrow.string()) if arrow.types.is_null(one.type) else one for one in first]
                writer = stack.enter_context(ParquetWriter(file, arrow.schema(fields, first.metadata)))
            writer.write_table(arrow.Table.from_pandas(table, schema=writer.schema, preserve_index=False))
            count, labels = count + len(table), labels | set(table["label"])
    return count, len(labels)


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
