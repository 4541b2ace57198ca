"""The shards of "Petals to the Metal": their folders, names and records.

    tfrecords-jpeg-192x192/train/00-192x192-798.tfrec      number, size of the photos, number of records

Folders train and val have records with `image` (JPEG), `class` (position in the list of classes) and `id`; those of test have no
class. Names are checked against each other and against the records, so that no shard and no record is missed silently.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.data import clutter
from bitbloom.data.sources.tfrecords.example import Feature, MalformedError, parse, serialise
from bitbloom.data.sources.tfrecords.framing import WHOLE, frame, records

TRAIN, VAL, TEST = "train", "val", "test"
LABELLED = (TRAIN, VAL)
SUFFIX = ".tfrec"
NAME = re.compile(r"(\d+)-(\d+)x(\d+)-(\d+)\.tfrec")
PARTIAL = re.compile(r".*\.tfrec.*|.*\.(part|partial|crdownload|download|aria2|tmp)", re.IGNORECASE)
"""Names of shards that are no shards' names: partial downloads, and copies such as `00-192x192-798 (1).tfrec`."""
ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
IMAGE, CLASS, IDENTITY = "image", "class", "id"
SHOWN = 3
"""Largest number of names in a message."""


@dataclass(frozen=True)
class Shard:
    """A shard: its file, number, side of its photos in pixels, and number of records, all by its name."""

    file: Path
    number: int
    side: int
    count: int

    @property
    def split(self) -> str:
        """The folder: train, val or test."""
        return self.file.parent.name


@dataclass(frozen=True)
class Photo:
    """The content of a record: id, bytes of the JPEG, position of the class (None without a label)."""

    id: str
    jpeg: bytes
    label: int | None
    ignored: frozenset[str] = frozenset()
    """Names of features that are in no schema."""


def name(number: int, side: int, count: int) -> str:
    """Return the file name of a shard."""
    return f"{number:02d}-{side}x{side}-{count}{SUFFIX}"


def find(folder: Path, side: int, counts: Mapping[str, int] | None = None) -> dict[str, list[Shard]]:
    """Return the shards of one size below a folder, by split, sorted by number.

    Args:
        folder: the folder, or one above it.
        side: side of the photos, pixels.
        counts: expected number of records of each split, if it is known.

    Raises:
        BitBloomError: a name is not that of a shard; there are none of this size, or none with labels; sizes are mixed in a
            folder; a shard is missing or there twice.
    """
    files = [path for path in clutter.walk(folder) if NAME.fullmatch(path.name) or PARTIAL.fullmatch(path.name)]
    shards = [_shard(folder, path) for path in files]
    _check_sizes(folder, shards, side)
    found = {
        split: sorted((one for one in shards if one.side == side and one.split == split), key=lambda one: one.number)
        for split in (*LABELLED, TEST)
    }
    if not any(found.values()) or not all(found[split] for split in LABELLED):
        raise BitBloomError(_lacking(folder, found, side))
    for split, ones in found.items():
        _check_numbers(folder, split, ones, (counts or {}).get(split))
    return found


def read(shard: Shard, classes: int) -> Iterator[Photo]:
    """Iterate over the photos of a shard, in order.

    Args:
        shard: a shard; its split tells whether its records have labels.
        classes: number of classes.

    Raises:
        BitBloomError: a record is damaged, lacks a feature, or has a class out of range; or the number of records is not that
            of the name. The message names shard, record and offset.
    """
    count = 0
    for record in records(shard.file):
        where = f"{shard.file}: record {record.number} at byte {record.offset:,}"
        try:
            features = parse(record.data)
        except MalformedError as error:
            raise BitBloomError(f"{where} is not a tf.train.Example ({error})") from error
        count += 1
        yield _photo(where, features, classes if shard.split in LABELLED else None)
    _check_count(shard, count)


def verify(shard: Shard) -> None:
    """Check every record of a shard against its CRCs, and their number against the name. Raises BitBloomError."""
    _check_count(shard, sum(1 for _ in records(shard.file)))


def unlabelled(folder: Path) -> list[Shard]:
    """Return the unlabelled shards directly in a folder `test`, by number. Raises BitBloomError as `find` does."""
    found = [_shard(folder.parent, file) for file in clutter.visible(folder) if PARTIAL.fullmatch(file.name)]
    ordered = sorted(found, key=lambda one: one.number)
    if not ordered or len({one.side for one in ordered}) > 1:
        raise BitBloomError(f"{folder}: it has to hold shards of one size ({name(0, 192, 462)}, …)")
    _check_numbers(folder.parent, TEST, ordered, None)
    return ordered


def write(folder: Path, number: int, side: int, photos: Sequence[Photo]) -> Path:
    """Write photos as a shard of a folder `train`, `val` or `test`, and return its file."""
    file = folder / name(number, side, len(photos))
    with canonical.replacing(file) as temporary, temporary.open("wb") as stream:
        for photo in photos:
            features: dict[str, list[bytes] | list[int]] = {IDENTITY: [photo.id.encode()], IMAGE: [photo.jpeg]}
            if photo.label is not None:
                features[CLASS] = [photo.label]
            stream.write(frame(serialise(features)))
    return file


def _shard(folder: Path, file: Path) -> Shard:
    """Parse the name of a file. Raises BitBloomError if it is not that of a shard in a folder of a split."""
    found, place = NAME.fullmatch(file.name), file.relative_to(folder)
    if not found or found[2] != found[3]:
        raise BitBloomError(
            f"{folder}: {place} has not the name of a whole shard (such as {name(0, 192, 798)}): "
            "finish the download, or remove the file"
        )
    if file.parent.name not in (*LABELLED, TEST):
        raise BitBloomError(
            f"{folder}: {place} is in none of the folders {TRAIN}, {VAL} and {TEST}: keep the publisher's folders"
        )
    return Shard(file, int(found[1]), int(found[2]), int(found[4]))


def _check_sizes(folder: Path, shards: Sequence[Shard], side: int) -> None:
    """Check that there are shards of this size, and that no folder mixes sizes."""
    if not shards:
        raise BitBloomError(f"{folder}: there are no TFRecord shards ({name(0, side, 798)}, …) in folders {TRAIN} and {VAL}")
    for parent in {one.file.parent for one in shards}:
        sizes = {one.side for one in shards if one.file.parent == parent}
        stated = re.search(r"(\d+)x\1", parent.parent.name)
        if len(sizes | ({int(stated[1])} if stated else set())) > 1:
            raise BitBloomError(
                f"{folder}: {parent.relative_to(folder)} mixes sizes ({', '.join(map(str, sorted(sizes)))} in the names of the "
                "shards): one folder holds one size"
            )
    known = sorted({one.side for one in shards})
    if side not in known:
        raise BitBloomError(
            f"{folder}: there are shards of size {', '.join(map(str, known))}, and source.size is {side}: "
            f"use SET=source.size={known[0]}, or give the folder of that size"
        )


def _lacking(folder: Path, found: Mapping[str, Sequence[Shard]], side: int) -> str:
    if found[TEST] and not any(found[split] for split in LABELLED):
        return f"{folder}: it holds only unlabelled shards ({TEST}): give a folder that holds {TRAIN} and {VAL} too"
    lacks = next(split for split in LABELLED if not found[split])
    return f"{folder}: there are no shards of size {side} in a folder {lacks}: is the download complete?"


def _check_numbers(folder: Path, split: str, shards: Sequence[Shard], expected: int | None) -> None:
    """Check that each number from 0 is there once, and that the counts of the names add up to the expected one."""
    for one, other in itertools.pairwise(shards):
        if one.number == other.number:
            raise BitBloomError(
                f"{folder}: shard {one.number:02d} of {split} is there twice, {one.file.relative_to(folder)} and "
                f"{other.file.relative_to(folder)}: remove one"
            )
    missing = sorted(set(range(shards[-1].number + 1)) - {one.number for one in shards}) if shards else []
    if missing:
        names = ", ".join(f"{number:02d}" for number in missing[:SHOWN])
        raise BitBloomError(f"{folder}: {len(missing)} shards of {split} are missing, the first are {names}: is it whole?")
    total = sum(one.count for one in shards)
    if shards and expected is not None and total != expected:
        raise BitBloomError(
            f"{folder}: the {len(shards)} shards of {split} have {total:,} records by their names, and {expected:,} are "
            "expected (source.counts): are the last shards missing?"
        )


def _check_count(shard: Shard, count: int) -> None:
    if count != shard.count:
        raise BitBloomError(f"{shard.file}: it has {count:,} records, and {shard.count:,} by its name: {WHOLE}")


def _photo(where: str, features: Mapping[str, Feature], classes: int | None) -> Photo:
    """Check the features of a record: `id` and `image`, and with a number of classes `class`."""
    wanted = (IMAGE, IDENTITY, *((CLASS,) if classes is not None else ()))
    for key in wanted:
        if len(features.get(key, ())) != 1:
            raise BitBloomError(f"{where}: it has {len(features.get(key, ()))} values of '{key}', and needs one")
    image, identity = features[IMAGE][0], features[IDENTITY][0]
    if not isinstance(image, bytes) or not isinstance(identity, bytes) or not image:
        raise BitBloomError(f"{where}: '{IMAGE}' and '{IDENTITY}' have to be bytes, and the photo not empty")
    if not ID.fullmatch(identity.decode("latin-1")):
        raise BitBloomError(f"{where}: the id {identity!r} is not made of letters, digits, - and _")
    ignored = frozenset(features) - set(wanted)
    if classes is None:
        return Photo(identity.decode(), image, None, ignored)
    label = features[CLASS][0]
    if not isinstance(label, int) or not 0 <= label < classes:
        raise BitBloomError(f"{where}: the class is {label!r}; it has to be a number from 0 to {classes - 1}")
    return Photo(identity.decode(), image, label, ignored)


def by_identity(photos: Iterable[Photo], shard: Shard, seen: dict[str, Path]) -> Iterator[Photo]:
    """Iterate over photos of a shard, and note their ids in `seen`. Raises BitBloomError for an id that is there already."""
    for photo in photos:
        if photo.id in seen:
            raise BitBloomError(f"{shard.file}: the id {photo.id} is in {seen[photo.id]} too: is one a copy of the other?")
        seen[photo.id] = shard.file
        yield photo
