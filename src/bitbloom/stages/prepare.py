"""prepare: decode and pack the samples that passed the gate, and assign each to a split.

python -m bitbloom.stages.prepare petals     # → data/processed/petals/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bitbloom import tasks
from bitbloom.core.errors import BitBloomError
from bitbloom.data import splits
from bitbloom.data.dataset import SPLITS, Dataset
from bitbloom.stages import main

if TYPE_CHECKING:
    from bitbloom.config.target import Target

READS = ("task", "prepare")
PARTS = ("samples",)
KEPT = ["id", "label", "key", "attributes"]


def run(target: Target) -> None:
    """Write data/processed/<target>/: arrays, `samples.parquet` and `meta.json` (see `Dataset`)."""
    kind = tasks.samples(target.task)
    rows = decodable(target.manifest, [*KEPT, *kind.KEPT], ["path", *kind.READ])
    raw = Raw(target.raw, rows.pop("path"))
    arrays, meta = kind.pack(rows, raw, target.prepare)
    pairs = kind.near_duplicates(rows, raw, target.prepare)
    given = splits.given_by_source(rows["attributes"])
    assigned = splits.assign(list(rows["id"]), list(rows["key"]), pairs, target.prepare.split, given)
    samples = pd.concat([rows[[*KEPT, *kind.KEPT]], assigned], axis=1)
    found = splits.leaks(pairs, given)
    dataset = Dataset(arrays, samples, meta | leaks(found))
    check(dataset, target.name)
    dataset.save(target.processed)
    counts = ", ".join(f"{len(dataset.split(name))} {name}" for name in SPLITS)
    print(f"{counts}, {int(samples['excluded'].sum())} excluded of {len(samples)} samples")
    if found:
        between = ", ".join(f"{low} and {high}: {count:,}" for (low, high), count in found.items())
        print(f"near-duplicates between the splits that the source gives ({between}): the lower split is without them")


def decodable(manifest: Path, kept: list[str], read: list[str]) -> pd.DataFrame:
    """Return columns of the samples that can be decoded; of a large manifest, all columns would need most of the memory.

    Args:
        manifest: path of the manifest.
        kept: columns as pandas has them, for `samples.parquet`.
        read: columns that are only read; texts are Arrow's, which take a fraction of the memory of Python's.
    """
    table = pq.read_table(manifest, columns=[*kept, *read], filters=pc.field("decodable"))
    parts = [table.select(kept).to_pandas(), table.select(read).to_pandas(types_mapper=pd.ArrowDtype)]
    rows: pd.DataFrame = pd.concat(parts, axis="columns")
    return rows


class Raw(Sequence[bytes]):
    """The samples' files, each read on access: some tasks need the rows only."""

    def __init__(self, folder: Path, paths: pd.Series) -> None:
        self.folder, self.paths = folder, paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, position: Any) -> Any:
        """The bytes of one file."""
        return (self.folder / str(self.paths.iat[position])).read_bytes()


def leaks(found: Mapping[tuple[str, str], int]) -> dict[str, list[dict[str, Any]]]:
    """Return the part of `meta.json` about leaks between given splits; nothing without one, so that no other data change."""
    rows = [{"lower": low, "higher": high, "pairs": count} for (low, high), count in found.items()]
    return {"leaks": rows} if rows else {}


def check(dataset: Dataset, name: str) -> None:
    """Raise BitBloomError when a split has no samples."""
    empty = [split for split in SPLITS if not len(dataset.split(split))]
    if empty:
        raise BitBloomError(f"{name}: no sample falls in {', '.join(empty)}: add data or change prepare.split")


if __name__ == "__main__":
    main(run, READS)
