"""Source `coco`: photos and captions of COCO 2017 (Lin et al. 2014, arXiv:1405.0312; Chen et al. 2015, arXiv:1504.00325).

The published zips stay packed: only the selected photos are extracted. A photo keeps its path in its zip, so that names of
different zips never collide.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from omegaconf import MISSING

from bitbloom.core.errors import BitBloomError
from bitbloom.core.progress import track
from bitbloom.data.archives import BROKEN
from bitbloom.data.sources import SourceFile, coco_folder
from bitbloom.data.sources.coco_folder import Captioned
from bitbloom.data.verified_file import PublishedFile, obtain


@dataclass
class Zip:
    """A published zip."""

    url: str = MISSING
    bytes: int = MISSING
    """Expected size; a different size is rejected before the download."""
    sha256: str = MISSING


@dataclass
class Config:
    """The `source` section."""

    kind: str = "coco"
    parts: list[str] = field(default_factory=lambda: ["val2017"])
    """The zips with the photos. They are COCO's splits; `prepare` computes the splits of the target."""
    photos: int | None = None
    """Number of photos from all parts; null selects all."""
    annotations: Zip = field(default_factory=Zip)
    """Zip with `annotations/captions_<part>.json` of every part."""
    zips: dict[str, Zip] = field(default_factory=dict)
    """Part → its zip with `<part>/<photo>`. Zips without selected photos are not downloaded."""


def fetch(config: Config, destination: Path, workers: int = 1) -> list[SourceFile]:
    """Copy the selected photos to `destination`/<part>; the attribute `captions` has their captions.

    Raises:
        BitBloomError: a part is unknown, there are too few photos, or a zip is unavailable, damaged or lacks a file.
    """
    _check(config)
    chosen = choose(_captioned(config), config.photos)
    for part in config.parts:
        names = [photo.name for photo in chosen if photo.name.startswith(f"{part}/")]
        if names:
            _copy(_obtain(config.zips[part]), names, destination)
    return [SourceFile(photo.name, "", {"captions": list(photo.captions)}) for photo in chosen]


def choose(photos: Sequence[Captioned], count: int | None) -> list[Captioned]:
    """Return the `count` photos whose names have the lowest SHA-256, sorted by name; a larger selection contains a smaller one.

    Raises:
        BitBloomError: there are fewer than `count` photos.
    """
    if count is not None and count > len(photos):
        raise BitBloomError(
            f"source.photos is {count:,}; source.parts have {len(photos):,} photos with captions: "
            "select fewer, add another part, or set null to select all"
        )
    shuffled = sorted(photos, key=lambda photo: hashlib.sha256(photo.name.encode()).digest())
    return sorted(shuffled[:count], key=lambda photo: photo.name)


def _check(config: Config) -> None:
    """Check the configuration before any download."""
    unknown = [part for part in config.parts if part not in config.zips]
    if unknown or not config.parts or len(set(config.parts)) < len(config.parts):
        known = ", ".join(config.zips) or "none"
        raise BitBloomError(f"source.parts is [{', '.join(config.parts)}]: name each part once; source.zips has {known}")
    if config.photos is not None and config.photos < 1:
        raise BitBloomError(f"source.photos is {config.photos}: it has to be 1 or more, or null for all")


def _captioned(config: Config) -> list[Captioned]:
    """Return every photo of the parts with captions, named by its path in its zip."""
    archive = _obtain(config.annotations)
    found: list[Captioned] = []
    with _readable(str(archive)), ZipFile(archive) as opened:
        for part in config.parts:
            member = _member(archive, opened, f"annotations/captions_{part}.json")
            with _readable(f"{archive}: {member.filename}"):
                annotations = opened.read(member)
            photos = coco_folder.parse(annotations, f"{archive}: {member.filename}")
            found += [Captioned(f"{part}/{photo.name}", photo.captions) for photo in photos]
    return found


def _copy(archive: Path, names: Sequence[str], destination: Path) -> None:
    """Copy these files of a zip, in the order of the zip, and check their CRC-32."""
    with _readable(str(archive)), ZipFile(archive) as opened:
        members = [_member(archive, opened, name) for name in names]
        for member in track(sorted(members, key=lambda member: member.header_offset), "copy photos"):
            path = destination / member.filename
            path.parent.mkdir(parents=True, exist_ok=True)
            with _readable(f"{archive}: {member.filename}"), opened.open(member) as photo, path.open("xb") as target:
                shutil.copyfileobj(photo, target)


def _obtain(published: Zip) -> Path:
    return obtain(PublishedFile(published.url, published.bytes, published.sha256))


def _member(archive: Path, opened: ZipFile, name: str) -> ZipInfo:
    """Return an entry of a zip without reading it."""
    try:
        return opened.getinfo(name)
    except KeyError:
        raise BitBloomError(f"{archive} has no file {name}: is it COCO's zip of that name?") from None


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """Convert errors of `zipfile` on a damaged zip, or a damaged file in it, to an error that names it."""
    try:
        yield
    except BROKEN as error:
        raise BitBloomError(f"{what} cannot be unpacked ({error}): is it a whole zip?") from error
