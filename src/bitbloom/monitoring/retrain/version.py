"""A new version of a target's data: its own samples in their splits, beside the labelled inputs of the log.

The folder has the form that `PHOTOS=` and `TWEETS=` take. Each sample of the old data keeps its split, and each input of the log
gets the split of its own key, so later versions move no sample from one split to another. Inputs of earlier versions stay, also
when the log no longer has them.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from bitbloom import tasks
from bitbloom.core import canonical
from bitbloom.core.digests import digest
from bitbloom.core.errors import BitBloomError
from bitbloom.data import splits
from bitbloom.data.dataset import SPLITS
from bitbloom.data.sources import folder, tweets_csv
from bitbloom.monitoring.retrain.labelled import Labelled

FROM_LOG = "log-"
"""Prefix of the names of samples from the log."""
SOURCES = {"image": "folder", "text": "tweets_csv"}
"""The kind of the samples → the kind of the source that reads the new version."""
SUFFIXES = {"JPEG": ".jpg", "TIFF": ".tif"}
"""Of image formats whose name is not their usual suffix."""


@dataclass(frozen=True)
class Base:
    """A built target: its name, its task, and the percentages of train, val and test."""

    target: str
    task: str
    percents: Sequence[int]


@dataclass(frozen=True)
class Version:
    """A written version of the data: its folder, its digest, and numbers of samples.

    Attributes:
        old: samples of the target's data.
        known: labelled inputs of the log that are among them. They keep the label of the data.
        new: the other labelled inputs, by split.
    """

    folder: Path
    digest: str
    old: int
    known: int
    new: dict[str, int]


def write(place: Path, base: Base, kind: str, samples: Sequence[Labelled], earlier: Path) -> Version:
    """Write the data of a built target and labelled inputs to a folder, whole or not at all.

    Args:
        place: the folder; an existing one is replaced.
        base: the target; data/raw and data/processed have its data.
        kind: image or text.
        samples: from the log.
        earlier: the folder of an imported earlier version, which may be missing.

    Raises:
        BitBloomError: the data of the target is missing, the kind has no source, or a label is not one of the source's.
    """
    rows, known = _old(base)
    if kind not in SOURCES:
        raise BitBloomError(f"'{base.target}' cannot learn from feedback: retraining is for photos and texts with labels")
    merged = {one.digest: one for one in _earlier(earlier, kind)} | {one.digest: one for one in samples}
    known_inputs = merged.keys() & set(rows["sha256"])
    fresh = [merged[name] for name in sorted(merged.keys() - known_inputs)]
    placed = [(one, split) for one in fresh if (split := _split(one.content, kind, base))]
    with canonical.replacing_folder(place) as staged:
        if kind == "image":
            _write_photos(staged, Path("data/raw") / base.target, rows, known, placed)
        else:
            _write_texts(staged, rows, [one for one, _ in placed])
        whole = digest(staged)
    counted = Counter(split for _, split in placed)
    return Version(place, whole, len(rows), len(known_inputs), {name: counted[name] for name in SPLITS})


def _old(base: Base) -> tuple[pd.DataFrame, dict[str, str]]:
    """The rows of the manifest that have a split, and id → split. Raises BitBloomError for a target that is not built."""
    manifest = Path("data/raw") / base.target / "manifest.parquet"
    processed = Path("data/processed") / base.target / "samples.parquet"
    for path in (manifest, processed):
        if not path.is_file():
            raise BitBloomError(f"{path} is missing: make all TARGET={base.target}")
    samples = pd.read_parquet(processed, columns=["id", "split"])
    known = dict(zip(samples["id"].astype(str), samples["split"].astype(str), strict=True))
    rows = pd.read_parquet(manifest)
    return rows[rows["id"].isin(known)], known


def _split(content: bytes, kind: str, base: Base) -> str:
    """The split of an input, by its key; "" for one that cannot be decoded."""
    facts = tasks.samples(base.task).describe(content if kind == "image" else _text(content), {})
    return splits.split_of(str(facts["key"]), base.percents) if facts["decodable"] else ""


def _text(content: bytes) -> bytes:
    """A logged text as a row of the source."""
    return json.dumps({"text": content.decode("utf-8", "replace"), "keyword": "", "location": ""}).encode()


def _earlier(place: Path, kind: str) -> Iterator[Labelled]:
    """The samples of an earlier version that came from the log."""
    if kind == "image":
        for path in sorted(place.rglob(f"{FROM_LOG}*")):
            yield _labelled(path.read_bytes(), path.parent.name)
    elif (place / tweets_csv.FILE).is_file():
        for row in tweets_csv.rows(place / tweets_csv.FILE):
            if row["id"].startswith(FROM_LOG):
                yield _labelled(row["text"].encode(), tweets_csv.LABELS[row["target"]])


def _labelled(content: bytes, label: str) -> Labelled:
    return Labelled(hashlib.sha256(content).hexdigest(), content, label, predicted="")


def _write_photos(
    staged: Path, raw: Path, rows: pd.DataFrame, known: dict[str, str], placed: Sequence[tuple[Labelled, str]]
) -> None:
    """Write class folders in folders of splits."""
    for row in _records(rows):
        split, label = known[row["id"]], folder.safe_name(row["label"])
        name = row["path"].removeprefix(f"{split}/").removeprefix(f"{row['label']}/").replace("/", "__")
        _put(staged / split / label / name, (raw / row["path"]).read_bytes())
    for one, split in placed:
        name = f"{FROM_LOG}{one.digest[:32]}{_suffix(one.content)}"
        _put(staged / split / folder.safe_name(one.label) / name, one.content)


def _suffix(content: bytes) -> str:
    """The usual suffix of an image file's format."""
    with Image.open(io.BytesIO(content)) as image:
        kind = image.format or ""
    return SUFFIXES.get(kind, f".{kind.lower()}")


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _write_texts(staged: Path, rows: pd.DataFrame, fresh: Sequence[Labelled]) -> None:
    """Write `train.csv`. Texts have the splits of their keys. Raises BitBloomError for a label that is not the source's."""
    numbers = {label: number for number, label in tweets_csv.LABELS.items()}
    for label in sorted({one.label for one in fresh} - set(numbers)):
        raise BitBloomError(f"feedback has the label '{label}'; texts are one of {', '.join(numbers)}")
    with (staged / tweets_csv.FILE).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, tweets_csv.COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in _records(rows):
            writer.writerow({name: row[name] for name in tweets_csv.COLUMNS[:-1]} | {"target": numbers[row["label"]]})
        for one in fresh:
            name, text = f"{FROM_LOG}{one.digest[:32]}", one.content.decode("utf-8", "replace")
            writer.writerow({"id": name, "keyword": "", "location": "", "text": text, "target": numbers[one.label]})


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]
