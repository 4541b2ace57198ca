"""Source `folder`: photos in local class folders, `<class>/<photo>`.

Wrapper folders around the class folders are skipped, and deeper folders belong to their class. Files that are not images
are reported and omitted. Damaged and repeated images are kept for the gate.
"""

from __future__ import annotations

import re
import shutil
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from omegaconf import MISSING

from bitbloom.core.errors import BitBloomError
from bitbloom.core.progress import track
from bitbloom.data import imaging
from bitbloom.data.sources import SourceFile

GIVEN = "PHOTOS=path/to/photos"
TAKES = "a folder, a tar or a zip with one folder for each class"
CLUTTER = {"__macosx", "thumbs.db", "desktop.ini"}
"""Files of operating systems; these, and hidden files, are ignored without a message."""
SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}
UNSAFE = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")
"""Characters that are not allowed in a table's path: controls, backslashes, bytes that are not UTF-8."""
HEAD_BYTES = 65_536
SHOWN = 5
"""Largest number of names in a message."""


@dataclass
class Config:
    """The `source` section."""

    kind: str = "folder"
    path: str = MISSING
    """A folder, relative to the workspace; `PHOTOS=` fills `data/external/<target>`."""


def fetch(config: Config, destination: Path, workers: int = 1) -> list[SourceFile]:
    """Copy the images of all class folders below `destination`, sorted; the label is the class folder's name.

    Raises:
        BitBloomError: the folder is missing, or it does not have two or more class folders with images.
    """
    folder = Path(config.path)
    if not folder.is_dir():
        raise BitBloomError(f"{folder}: there is no such folder: import your photos with PHOTOS=<folder, tar or zip>")
    return collect(folder, destination)


def collect(given: Path, destination: Path) -> list[SourceFile]:
    """Copy the images of a folder, without wrapper folders, to `destination/<class>/…` with NFC names, sorted by path.

    Raises:
        BitBloomError: see `fetch`; or two files have the same normalised name.
    """
    if not given.is_dir():
        raise BitBloomError(f"{given}: not a tar or zip archive; PHOTOS= takes {TAKES}")
    root = class_root(given)
    files: dict[str, Path] = {}
    skipped = [path.name for path in _visible(root) if path.is_file()]
    for path in _files_of_classes(root):
        name = path.relative_to(root).as_posix()
        if not _is_image(path):
            skipped.append(name)
            continue
        safe = safe_name(name)
        if safe in files:
            raise BitBloomError(
                f"{root}: {_printable(name)} and {_printable(files[safe].name)} have the same normalised name: rename one"
            )
        files[safe] = path
    _check_classes(root, files)
    _report(root, sorted(skipped))
    for name in track(sorted(files), "copy photos"):
        target = destination / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(files[name], target)
    return [SourceFile(name, name.split("/", 1)[0]) for name in sorted(files)]


def class_root(folder: Path) -> Path:
    """Return the folder of the class folders: `folder`, or the one below it inside wrapper folders."""
    while True:
        inner = [path for path in _visible(folder) if path.is_dir()]
        wraps = len(inner) == 1 and not _has_images(folder) and not _has_images(inner[0])
        if not wraps or not any(path.is_dir() for path in _visible(inner[0])):
            return folder
        folder = inner[0]


def safe_name(name: str) -> str:
    """Return a path with the same text on every machine: Unicode NFC, unsafe characters replaced by `_`."""
    return unicodedata.normalize("NFC", UNSAFE.sub("_", name))


def _check_classes(root: Path, files: dict[str, Path]) -> None:
    """Check that there are two or more class folders, each with images."""
    expected = {safe_name(path.name) for path in _visible(root) if path.is_dir()}
    counts = Counter(name.split("/", 1)[0] for name in files)
    shape = "put the photos of each class into a folder with the name of the class"
    if not expected:
        raise BitBloomError(f"{root}: it holds no class folders: {shape}")
    if {name.lower() for name in expected} <= SPLITS:
        raise BitBloomError(f"{root}: {_some(sorted(expected))} look like splits; BitBloom makes its own: {shape}")
    empty = sorted(expected - set(counts))
    if empty:
        raise BitBloomError(f"{root}: no images in {_some(empty)}: add some, or remove the folder")
    if len(expected) == 1:
        raise BitBloomError(
            f"{root}: it holds only one class, {_some(sorted(expected))}: there is nothing to tell apart; {shape}"
        )


def _visible(folder: Path) -> list[Path]:
    """Return the visible entries of a folder, sorted."""
    entries = (path for path in folder.iterdir() if not path.name.startswith(".") and path.name.lower() not in CLUTTER)
    return sorted(entries)


def _files_of_classes(root: Path) -> Iterator[Path]:
    for path in _visible(root):
        if path.is_dir():
            yield from _walk(path, (root.resolve(),))


def _walk(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """Iterate over all visible files below a folder. Links are followed, except to a parent folder."""
    resolved = folder.resolve()
    if resolved in above:
        return
    for path in _visible(folder):
        if path.is_dir():
            yield from _walk(path, (*above, resolved))
        else:
            yield path


def _has_images(folder: Path) -> bool:
    return any(path.is_file() and _is_image(path) for path in _visible(folder))


def _is_image(path: Path) -> bool:
    """Return whether a file is an image by its signature. Broken links, sockets and the like are not."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return imaging.is_image(stream.read(HEAD_BYTES))


def _report(root: Path, skipped: list[str]) -> None:
    """Print the omitted files to stderr."""
    if not skipped:
        return
    advice = "; save HEIC photos as JPEG" if any(name.lower().endswith((".heic", ".heif")) for name in skipped) else ""
    what = "1 file that is" if len(skipped) == 1 else f"{len(skipped):,} files that are"
    print(f"{root}: skipped {what} not an image in a class folder: {_some(skipped)}{advice}", file=sys.stderr)


def _some(names: list[str]) -> str:
    shown = ", ".join(_printable(name) for name in names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN:,} more"


def _printable(name: str) -> str:
    return UNSAFE.sub("?", name)
