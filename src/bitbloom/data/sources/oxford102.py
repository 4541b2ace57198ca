"""Source `oxford102`: Oxford 102 Category Flowers (Nilsback and Zisserman 2008), with its official splits or computed ones.

The archive has photos `jpg/image_00001.jpg`, …; `imagelabels.mat` has the label of each, from 1; `setid.mat` has the numbers of
the photos of each split, from 1: `trnid` and `valid` 10 of each class, `tstid` the others.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import MISSING

from bitbloom.core.errors import BitBloomError
from bitbloom.core.progress import track
from bitbloom.data import labels
from bitbloom.data.archives import extract
from bitbloom.data.sources import SourceFile
from bitbloom.data.verified_file import DOWNLOADS, PublishedFile, obtain

if TYPE_CHECKING:
    from numpy.typing import NDArray

PARTS = {"trnid": "train", "valid": "val", "tstid": "test"}
"""Variables of setid.mat → splits."""
SPLITS = ("given", "computed")


@dataclass
class Published:
    """A published file."""

    url: str = MISSING
    """Address of the file."""
    bytes: int = MISSING
    """Expected size; a different size is rejected before the download."""
    sha256: str = MISSING
    """Expected SHA-256 of the file."""


@dataclass
class Config:
    """The `source` section."""

    kind: str = "oxford102"
    photos: Published = field(default_factory=Published)
    """102flowers.tgz."""
    labels: Published = field(default_factory=Published)
    """imagelabels.mat."""
    parts: Published = field(default_factory=Published)
    """setid.mat."""
    classes: list[str] = field(default_factory=list)
    """Names of the classes, in the order of the labels."""
    splits: str = "given"
    """given: the official splits; computed: from the photos, in the percentages of `prepare.split`."""


def fetch(config: Config, destination: Path, workers: int = 1) -> list[SourceFile]:
    """Copy the photos to `destination`/<class>/image_00001.jpg, sorted by path.

    Raises:
        BitBloomError: a file is not available, has another digest or another form, or the three do not fit together.
    """
    if config.splits not in SPLITS:
        raise BitBloomError(f"source.splits is '{config.splits}'; it has to be one of {', '.join(SPLITS)}")
    labels.check(config.classes, "source.classes")
    label_file, part_file = _obtain(config.labels), _obtain(config.parts)
    numbers = _integers(label_file, "labels")
    if not len(numbers) or numbers.min() < 1 or numbers.max() > len(config.classes):
        raise BitBloomError(f"{label_file}: its labels are not from 1 to {len(config.classes)}, the number of source.classes")
    splits = given(part_file, len(numbers)) if config.splits == "given" else [""] * len(numbers)
    archive = _obtain(config.photos)
    DOWNLOADS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpack.", dir=DOWNLOADS) as temporary:
        folder = Path(temporary) / "archive"
        extract(archive, folder)
        photos = _photos(archive, folder, len(numbers))
        found = []
        for photo, number, split in track(list(zip(photos, numbers.tolist(), splits, strict=True)), "copy photos"):
            label = config.classes[number - 1]
            path = f"{label}/{photo.name}"
            (destination / label).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(photo, destination / path)
            found.append(SourceFile(path, label, {"split": split} if split else {}))
    return sorted(found, key=lambda file: file.path)


def given(file: Path, count: int) -> list[str]:
    """Return the official split of each of `count` photos.

    Raises:
        BitBloomError: the file is not that of the splits, or a photo is in no split or in two.
    """
    found = [""] * count
    for name, split in PARTS.items():
        for number in _integers(file, name).tolist():
            if not 1 <= number <= count:
                raise BitBloomError(f"{file}: {name} has photo {number}, and there are {count}")
            if found[number - 1]:
                raise BitBloomError(f"{file}: photo {number} is in {found[number - 1]} and in {split}")
            found[number - 1] = split
    if "" in found:
        raise BitBloomError(f"{file}: photo {found.index('') + 1} is in no split")
    return found


def _photos(archive: Path, folder: Path, count: int) -> Sequence[Path]:
    """Return the photos 1 to `count` of the unpacked archive."""
    photos = [folder / "jpg" / f"image_{number:05d}.jpg" for number in range(1, count + 1)]
    missing = [photo.name for photo in photos if not photo.is_file()]
    more = len(list((folder / "jpg").glob("*.jpg"))) - (count - len(missing)) if (folder / "jpg").is_dir() else 0
    if missing or more:
        raise BitBloomError(
            f"{archive}: its photos do not fit the {count} labels: {len(missing)} are missing{_first(missing)}, "
            f"{more} have no label"
        )
    return photos


def _first(names: Sequence[str]) -> str:
    return f" (the first is {names[0]})" if names else ""


def _integers(file: Path, name: str) -> NDArray[np.int64]:
    """Return a variable of a MATLAB file as integers [n]. Raises BitBloomError if there is none, or it has other values."""
    from scipy.io import loadmat

    try:
        content: Mapping[str, Any] = loadmat(file)
        values = np.asarray(content[name]).ravel()
        if values.dtype.kind not in "iu" and not (values.dtype.kind == "f" and bool((values == np.floor(values)).all())):
            raise ValueError(f"{name} has values that are no integers")
    except Exception as error:  # the parser raises errors of many types on damaged bytes
        raise BitBloomError(f"{file}: it has no integers '{name}' ({error}): is it the publisher's MATLAB file?") from error
    return values.astype(np.int64)


def _obtain(published: Published) -> Path:
    return obtain(PublishedFile(published.url, published.bytes, published.sha256))
