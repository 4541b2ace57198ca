"""The submission of "Petals to the Metal": the class number of every unlabelled photo, in the columns of the competition."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError, UnreadableImage
from bitbloom.core.progress import track
from bitbloom.data.sources import tfrecords
from bitbloom.data.sources.tfrecords import shards
from bitbloom.serving.predictor import Predictor

IMPORTED = shards.TEST
"""The folder of unlabelled shards, in the imported or the drawn data."""
COLUMNS = ("id", "label")
UNREADABLE = 0
"""Class of a photo that cannot be decoded, because Kaggle requires every id."""


def write(models: Path, given: Path, destination: Path, source: Mapping[str, Any]) -> None:
    """Predict every photo of a folder of unlabelled shards, and write the columns id and label to `destination`.

    The rows have the order of `sample_submission.csv`, if that is in the folder or the one above, else that of the shards.

    Args:
        models: the folder of the exported model.
        given: the folder of the shards.
        destination: the CSV file to write.
        source: the `source` section; the label is the position in its `classes`.

    Raises:
        BitBloomError: the target has no class numbers, the shards, the sample or the model are missing or do not fit.
    """
    numbers = {name: number for number, name in enumerate(source.get("classes") or ())}
    if not numbers:
        raise BitBloomError(f"source.classes is empty for {models.name}: a submission needs the number of each class")
    predictor = Predictor.open(models)
    if unknown := sorted(set(predictor.classes) - set(numbers)):
        raise BitBloomError(f"{models} has classes that source.classes lacks: {', '.join(unknown[:3])}: train it again")
    found: dict[str, int] = {}
    seen: dict[str, Path] = {}
    for shard in shards.unlabelled(given):
        photos = shards.by_identity(shards.read(shard, len(numbers)), shard, seen)
        found.update((photo.id, _label(predictor, photo, numbers)) for photo in track(photos, shard.file.name, shard.count))
    rows = [(identity, found[identity]) for identity in _order(given, list(found))]
    with canonical.replacing(destination) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *rows])


def _label(predictor: Predictor, photo: shards.Photo, numbers: Mapping[str, int]) -> int:
    try:
        return numbers[predictor.predict(photo.jpeg)["label"]]
    except UnreadableImage as error:
        print(f"{photo.id}: {error}: it gets class {UNREADABLE}", file=sys.stderr)
        return UNREADABLE


def _order(given: Path, ids: list[str]) -> list[str]:
    """Return the ids in the order of the sample submission. Raises BitBloomError if that has other ids."""
    sample = next((path for path in _samples(given) if path.is_file()), None)
    if sample is None:
        return ids
    with sample.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    ordered = [row.get(COLUMNS[0]) or "" for row in rows]
    if sorted(ordered) != sorted(ids):
        missing, more = set(ordered) - set(ids), set(ids) - set(ordered)
        example = min(missing or more or {"a repeated one"})
        raise BitBloomError(
            f"{sample}: its ids are not those of the shards ({len(missing):,} are in no shard, {len(more):,} are not in it, "
            f"such as {example}): are both of one download?"
        )
    return ordered


def _samples(given: Path) -> Iterator[Path]:
    return (folder / tfrecords.SAMPLE for folder in (given, given.parent))
