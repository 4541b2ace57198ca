"""The clean sets of the matrix: synthetic samples in memory, their bounds, and their accepted profiles."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bitbloom.config.sections.gate import Gate
from bitbloom.data.sources import SourceFile, chatter, garden, garden_captions
from bitbloom.stages.ingest import describe_files
from corruptions import captions, petals, tweets
from corruptions.kind import Files, Kind

QUANTILES = {"min": 0.0, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}
PHOTOS, MESSAGES = 240, 400
SOURCES: dict[str, tuple[Any, dict[str, int]]] = {
    "petals": (garden, {"images": PHOTOS}),
    "tweets": (chatter, {"messages": MESSAGES}),
    "captions": (garden_captions, {"images": PHOTOS}),
}
GATES: dict[str, dict[str, Any]] = {
    "petals": {"rows": [180, 320], "class_rows": 5, "imbalance": 2.0, "modes": ["RGB"]},
    "tweets": {"rows": [240, 500], "class_rows": 50, "imbalance": 2.0, "labels": ["disaster", "not disaster"]},
    "captions": {"rows": [180, 320], "captions": [3, 3], "words": [2, 30], "shared_captions": 1.0, "modes": ["RGB"]},
}
KINDS: dict[str, tuple[Kind, ...]] = {"petals": petals.KINDS, "tweets": tweets.KINDS, "captions": captions.KINDS}


@dataclass(frozen=True)
class Clean:
    """A clean set of a task: samples in memory, the rows of its manifest, bounds and profile."""

    task: str
    files: Files
    rows: dict[int, dict[str, Any]]
    gate: dict[str, Any]
    profile: dict[str, Any]

    @classmethod
    def make(cls, task: str, seed: int, samples: int | None = None) -> Clean:
        """Draw or write the samples of a seed."""
        module, size = SOURCES[task]
        config = module.Config(seed=seed, **(size if samples is None else dict.fromkeys(size, samples)))
        with tempfile.TemporaryDirectory() as folder:
            files = [replace(file, content=file.read(Path(folder))) for file in module.fetch(config, Path(folder))]
        files.sort(key=lambda file: file.id)
        table = pd.DataFrame(describe_files(files, Path(), task, config.kind))
        gate = dict(GATES[task])
        if task == "petals":
            gate["labels"] = sorted(set(table["label"]))
        rows = {id(file): dict(row) for file, row in zip(files, table.to_dict("records"), strict=True)}
        return cls(task, files, rows, gate, profile_of(table))

    def manifest(self, files: Files) -> pd.DataFrame:
        """Describe samples; those of the clean set are described already."""
        new = [file for file in files if id(file) not in self.rows]
        described = describe_files(sorted(new, key=_id), Path(), self.task, self._kind)
        known = [self.rows[id(file)] for file in files if id(file) in self.rows]
        return pd.DataFrame(sorted([*known, *described], key=lambda row: str(row["id"])))

    def bounds(self, **other: Any) -> Gate:
        """The bounds of the set, some of them changed."""
        return Gate(**{**self.gate, **other})

    @property
    def _kind(self) -> str:
        return str(next(iter(self.rows.values()))["source"])


def _id(file: SourceFile) -> str:
    return file.id


def profile_of(table: pd.DataFrame) -> dict[str, Any]:
    """Return the profile of a manifest in the form of `expectations/profiles/<target>.json`."""
    numbers = table.select_dtypes("number")
    words = Counter(word for text in table.get("normalised", pd.Series(dtype=str)) for word in str(text).split())
    return {
        "rows": len(table),
        "labels": {str(label): int(count) for label, count in table["label"].value_counts().items() if label},
        "numeric": {
            column: {name: float(numbers[column].quantile(q)) for name, q in QUANTILES.items()} for column in sorted(numbers)
        },
        "vocabulary": dict(sorted(words.items())) or None,
    }
