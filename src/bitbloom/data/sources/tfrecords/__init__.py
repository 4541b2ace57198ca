"""Source `tfrecords`: photos of Kaggle's "Petals to the Metal" (`tpu-getting-started`), read without TensorFlow.

    make all TARGET=petals-104 PHOTOS=kaggle:tpu-getting-started     # or a folder or a zip

The labelled shards become photos with given splits. The unlabelled ones stay as they are, for the submission. See `shards` for
the format.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import MISSING

from bitbloom.core.errors import BitBloomError
from bitbloom.core.progress import track
from bitbloom.data import clutter, labels
from bitbloom.data.sources import SourceFile
from bitbloom.data.sources.tfrecords import shards

if TYPE_CHECKING:
    from bitbloom.data.sources.tfrecords.shards import Shard

GIVEN = "PHOTOS=path/to/tpu-getting-started"
TAKES = "a folder or a zip of the competition's TFRecords, or kaggle:tpu-getting-started"
COLLECT_KEYS = ("size", "counts")
SAMPLE = "sample_submission.csv"
SPLITS = ("val", "test")


@dataclass
class Labelled:
    """What the records mean: keys that other sources of such shards have too."""

    size: int = 192
    """Side of the photos, pixels: 192, 224, 331 or 512 in the competition."""
    classes: list[str] = field(default_factory=list)
    """Names of the classes; the feature `class` is the position in this list."""
    validation: str = "test"
    """The split of the competition's labelled files `val`: test, and `prepare` takes val from train; or val, and it takes test
    from train."""


@dataclass
class Config(Labelled):
    """The `source` section."""

    kind: str = "tfrecords"
    path: str = MISSING
    """The imported folder, with train/, val/ and test/."""
    counts: dict[str, int] = field(default_factory=dict)
    """Expected number of records of each split; it finds missing shards at the end."""


def collect(given: Path, destination: Path, size: int = 192, counts: dict[str, int] | None = None) -> None:
    """Copy the shards of one size to `destination`/<split>, after each record was checked.

    Raises:
        BitBloomError: see `shards.find` and `framing.records`; or the number of records is not that of the name.
    """
    if not given.is_dir():
        raise BitBloomError(f"{given}: neither a folder nor an archive; PHOTOS= takes {TAKES}")
    found = shards.find(given, size, counts)
    for shard in track([one for ones in found.values() for one in ones], "copy shards"):
        shards.verify(shard)
        (destination / shard.split).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shard.file, destination / shard.split / shard.file.name)
    samples = [path for path in clutter.walk(given) if path.name == SAMPLE]
    if samples:
        shutil.copyfile(samples[0], destination / SAMPLE)


def fetch(config: Config, destination: Path, workers: int = 1) -> list[SourceFile]:
    """Write the labelled photos to `destination`/<split>/<class>/<id>.jpg.

    Raises:
        BitBloomError: see `extract`; or nothing was imported.
    """
    folder = Path(config.path)
    if not folder.is_dir():
        raise BitBloomError(f"{folder}: there is no such folder: import the competition's files with {GIVEN}")
    return extract(folder, config, destination, config.counts)


def extract(folder: Path, config: Labelled, destination: Path, counts: dict[str, int] | None = None) -> list[SourceFile]:
    """Write the photos of the labelled shards of a folder below `destination`, and return them, sorted by path.

    The attributes are `split` and `shard`. One photo is in memory at a time.

    Raises:
        BitBloomError: see `shards.find` and `shards.read`; or a photo's id is there twice, or the configuration is wrong.
    """
    _check(config)
    seen: dict[str, Path] = {}
    extra: Counter[str] = Counter()
    found: list[SourceFile] = []
    by_split = shards.find(folder, config.size, counts)
    every = [shard for split in shards.LABELLED for shard in by_split[split]]
    for shard in track(every, "read shards"):
        for file, ignored in _photos(shard, config, destination, seen):
            found.append(file)
            extra.update(ignored)
    if extra:
        names = ", ".join(f"{name} ({count:,} records)" for name, count in sorted(extra.items()))
        print(f"{folder}: left out features that are not in the schema: {names}", file=sys.stderr)
    return sorted(found, key=lambda file: file.path)


def _photos(
    shard: Shard, config: Labelled, destination: Path, seen: dict[str, Path]
) -> Iterator[tuple[SourceFile, frozenset[str]]]:
    """Write the photos of a shard; yield each with the names of the features that were left out."""
    split = config.validation if shard.split == shards.VAL else shard.split
    for photo in shards.by_identity(shards.read(shard, len(config.classes)), shard, seen):
        assert photo.label is not None, "read gives labels to labelled shards"
        label = config.classes[photo.label]
        path = f"{shard.split}/{label}/{photo.id}.jpg"
        (destination / path).parent.mkdir(parents=True, exist_ok=True)
        (destination / path).write_bytes(photo.jpeg)
        yield SourceFile(path, label, {"split": split, "shard": f"{shard.split}/{shard.file.name}"}), photo.ignored


def _check(config: Labelled) -> None:
    """Check the configuration before any shard is read."""
    if config.validation not in SPLITS:
        raise BitBloomError(f"source.validation is '{config.validation}'; it has to be one of {', '.join(SPLITS)}")
    if len(config.classes) < 2 or len(set(config.classes)) < len(config.classes):
        raise BitBloomError("source.classes needs two or more different names, in the order of the label numbers")
    unsafe = next((name for name in config.classes if not name or "/" in name or name != name.strip() or name[0] == "."), None)
    if unsafe is not None:
        raise BitBloomError(f"source.classes has {unsafe!r}, which cannot be the name of a folder")
    labels.check(config.classes, "source.classes")
