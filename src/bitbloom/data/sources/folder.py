"""Source `folder`: photos in local class folders, `<class>/<photo>`.

Wrapper folders around the class folders are skipped, and deeper folders belong to their class. Files that are not images
are reported and omitted. Damaged and repeated images are kept for the gate. Folders of splits are no classes: the given splits
are used or refused.
"""

from __future__ import annotations

import re
import shutil
import sys
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import MISSING

from bitbloom.core.errors import BitBloomError
from bitbloom.core.progress import track
from bitbloom.data import clutter, imaging, labels, split_folders
from bitbloom.data.sources import SourceFile

if TYPE_CHECKING:
    from bitbloom.data.split_folders import Layout

GIVEN = "PHOTOS=path/to/photos"
TAKES = "a folder, a tar or a zip with one folder for each class"
COLLECT_KEYS = ("splits",)
SPLITS = ("computed", "given", "none")
UNSAFE = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")
"""Characters that are not allowed in a table's path: controls, backslashes, bytes that are not UTF-8."""
HEAD_BYTES = 65_536
SHOWN = 5
"""Largest number of names in a message."""
SHAPE = "put the photos of each class into a folder with the name of the class"


@dataclass
class Config:
    """The `source` section."""

    kind: str = "folder"
    path: str = MISSING
    """A folder, relative to the workspace; `PHOTOS=` fills `data/external/<target>`."""
    splits: str = "computed"
    """computed: from the photos, and folders that look like splits are refused; given: from the folders train, val and test;
    none: computed, and every folder is a class."""


@dataclass(frozen=True)
class _Class:
    """A class folder, and its split if that is given, else an empty text."""

    split: str
    folder: Path
    name: str

    @property
    def label(self) -> str:
        """The name of the class, the same on every machine."""
        return safe_name(self.name)

    @property
    def path(self) -> str:
        """POSIX path of its photos below the destination."""
        return f"{self.split}/{self.label}" if self.split else self.label


def fetch(config: Config, destination: Path, workers: int = 1) -> list[SourceFile]:
    """Return the files of `stream` as a list."""
    return list(stream(config, destination, workers))


def stream(config: Config, destination: Path, workers: int = 1) -> Iterator[SourceFile]:
    """Copy the images of all class folders below `destination`, sorted by path; the label is the class folder's name.

    The memory holds the names of the images.

    Raises:
        BitBloomError: the folder is missing, or it does not have two or more class folders with images.
    """
    folder = Path(config.path)
    if not folder.is_dir():
        raise BitBloomError(f"{folder}: there is no such folder: import your photos with PHOTOS=<folder, tar or zip>")
    return _copied(folder, destination, config.splits)


def collect(given: Path, destination: Path, splits: str = "computed") -> list[SourceFile]:
    """Copy the images of a folder, without wrapper folders, to `destination/<class>/…` with NFC names, sorted by path.

    With given splits the path is `destination/<split>/<class>/…`, and the attribute `split` is train, val or test.

    Raises:
        BitBloomError: see `stream`; or two files have the same normalised name; or the folders are splits (see `Config`).
    """
    return list(_copied(given, destination, splits))


def _copied(given: Path, destination: Path, splits: str) -> Iterator[SourceFile]:
    """Copy and yield the images, once all of them have been checked; see `collect`."""
    if splits not in SPLITS:
        raise BitBloomError(f"source.splits is '{splits}'; it has to be one of {', '.join(SPLITS)}")
    if not given.is_dir():
        raise BitBloomError(f"{given}: not a tar or zip archive; PHOTOS= takes {TAKES}")
    root = class_root(given)
    classes, unlabelled = _classes(root, splits)
    for split in {one.split for one in classes}:
        labels.check((one.name for one in classes if one.split == split), str(root))
    labels.check((one.label for one in classes), str(root))
    files, skipped = _files(root, classes)
    _check_classes(root, classes, files, skipped)
    _report(given, root, [*skipped, *_loose(root, classes, unlabelled)], unlabelled)
    by_path = {one.path: one for one in classes}
    names = ((path, name) for path in sorted(files, key=_as_folder) for name in sorted(files[path]))
    for path, name in track(names, "copy photos", sum(map(len, files.values()))):
        target = destination / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / files[path][name], target)
        split = by_path[path].split
        yield SourceFile(name, by_path[path].label, {"split": split} if split else {})


def _as_folder(path: str) -> str:
    """The start of the paths of all its files: `a-b/` comes before `a/`, as `a-b/1.jpg` before `a/1.jpg`."""
    return f"{path}/"


def class_root(folder: Path) -> Path:
    """Return the folder of the class folders: `folder`, or the one below it inside wrapper folders."""
    return split_folders.level(folder, frozenset(), _has_images)


def safe_name(name: str) -> str:
    """Return a path with the same text on every machine: Unicode NFC, unsafe characters replaced by `_`."""
    return unicodedata.normalize("NFC", UNSAFE.sub("_", name))


def _classes(root: Path, splits: str) -> tuple[list[_Class], list[Path]]:
    """Return the class folders, and the folders whose photos have no label."""
    layout = None if splits == "none" else split_folders.find(root, _has_images)
    if layout and layout.form in ("outer", "inner") and _has_annotations(layout):
        layout = replace(layout, form="flat")
    if splits == "given":
        return _given(root, layout)
    if layout:
        raise BitBloomError(f"{root}: {_some([path.name for path in layout.folders])} {_advice(layout)}")
    return [_Class("", path, path.name) for path in split_folders.folders(root)], []


def _has_annotations(layout: Layout) -> bool:
    """Return whether the class folders of splits are one folder of photos and one of other files, such as YOLO's labels."""
    files: dict[str, list[Path]] = {}
    for top in layout.folders:
        inner = split_folders.folders(split_folders.level(top, frozenset(), _has_images)) if layout.form == "outer" else [top]
        for path in inner:
            files.setdefault(path.name, []).extend(clutter.walk(path))
    full = [name for name, paths in files.items() if any(_is_image(path) or _is_heic(path) for path in paths)]
    return len(full) == 1 and any(paths for name, paths in files.items() if name not in full)


def _advice(layout: Layout) -> str:
    """Say what is wrong with folders of splits, as the end of a message."""
    if layout.form == "flat":
        return f"look like splits without classes: {SHAPE}"
    if layout.form == "nameless":
        return (
            f"hold folders of the same names ({_some(list(layout.names))}), as splits do: if they are splits, name them train, "
            "val and test, and add SET=source.splits=given; if they are classes, add SET=source.splits=none"
        )
    return (
        "look like splits: SET=source.splits=given uses them, and SET=source.splits=none makes classes of them; "
        f"for splits of BitBloom, {SHAPE}"
    )


def _given(root: Path, layout: Layout | None) -> tuple[list[_Class], list[Path]]:
    """Return the class folders with their splits, and the folders whose photos have no label."""
    if not layout and split_folders.role(root.name) == "train":  # its other splits have no labels, or were not given
        return [_Class("train", path, path.name) for path in split_folders.folders(root)], []
    if not layout:
        raise BitBloomError(f"{root}: source.splits=given needs folders for train, val and test that hold the class folders")
    if layout.form in ("flat", "nameless"):
        raise BitBloomError(f"{root}: {_some([path.name for path in layout.folders])} {_advice(layout)}")
    if layout.form == "inner":
        classes = [_inner_class(top, split) for top in layout.folders for split in split_folders.folders(top)]
        others = [top for top in split_folders.folders(root) if top not in layout.folders]
        return [one for one in classes if one.split], [*others, *(one.folder for one in classes if not one.split)]
    return _outer(root)


def _inner_class(top: Path, split: Path) -> _Class:
    """Return the folder of a split in a class folder."""
    return _Class(split_folders.role(split.name) or "", split, top.name)


def _outer(root: Path) -> tuple[list[_Class], list[Path]]:
    """Return the class folders in folders of splits. Raises BitBloomError if two folders are one split, or one is none."""
    tops = {top: split_folders.role(top.name) for top in split_folders.folders(root)}
    by_split: dict[str, Path] = {}
    for top, split in tops.items():
        if not split or not split_folders.folders(top):
            continue
        if split in by_split:
            raise BitBloomError(f"{root}: {by_split[split].name} and {top.name} are both {split}: join them, or remove one")
        by_split[split] = top
    known: frozenset[str] = frozenset()
    classes: list[_Class] = []
    for split, top in sorted(by_split.items(), key=lambda item: item[0] != "train"):
        level = split_folders.level(top, known, _has_images)
        if all(split_folders.role(name) == split for name in split_folders.names(level)):  # test1/test1/<photo>
            del by_split[split]
            continue
        known |= split_folders.names(level)
        classes += [_Class(split, path, path.name) for path in split_folders.folders(level)]
    others = [top for top in tops if top not in by_split.values()]
    for top in others:
        if tops[top] is None and split_folders.names(top) & (known | {path.name for path in by_split.values()}):
            raise BitBloomError(f"{root}: {top.name} is none of train, val and test, but holds classes: rename it, or remove it")
    return classes, others


def _files(root: Path, classes: Sequence[_Class]) -> tuple[dict[str, dict[str, str]], list[Path]]:
    """Return the images of each class, by its path: safe name → name below `root`. Also return the other files.

    There can be millions of images: a name that is safe is in memory once, and their paths are not.
    """
    files: dict[str, dict[str, str]] = {}
    skipped: list[Path] = []
    for one in classes:
        for path in clutter.walk(one.folder, (root.resolve(),)):
            if not _is_image(path):
                skipped.append(path)
                continue
            images, name = files.setdefault(one.path, {}), _relative(path, root)
            safe = f"{one.path}/{safe_name(path.relative_to(one.folder).as_posix())}"
            if safe in images:
                raise BitBloomError(f"{root}: {name} and {images[safe]} have the same normalised name: rename one")
            images[safe] = safe if safe == name else name
    return files, skipped


def _loose(root: Path, classes: Sequence[_Class], unlabelled: Sequence[Path]) -> list[Path]:
    """Return the files beside the class folders, which have no class."""
    folders = {root, *(folder for one in classes for folder in one.folder.parents if root in folder.parents)} - set(unlabelled)
    return [path for folder in folders for path in clutter.visible(folder) if not path.is_dir()]


def _check_classes(root: Path, classes: Sequence[_Class], files: Collection[str], skipped: Sequence[Path]) -> None:
    """Check that there are two or more classes, that each has images (`files`), and that each class of a split is in train."""
    if not classes:
        raise BitBloomError(f"{root}: it holds no class folders: {SHAPE}")
    empty = [one for one in classes if one.path not in files]
    if empty:
        heic = any(_is_heic(path) for path in skipped if empty[0].folder in path.parents)
        remedy = f"{imaging.HEIC_ADVICE}, or remove the folder" if heic else "add some, or remove the folder"
        raise BitBloomError(f"{root}: no images in {_some(sorted(one.path for one in empty))}: {remedy}")
    names = sorted({one.label for one in classes})
    if len(names) == 1:
        raise BitBloomError(f"{root}: it holds only one class, {_some(names)}: there is nothing to tell apart; {SHAPE}")
    untrained = sorted(set(names) - {one.label for one in classes if one.split in ("", "train")})
    if untrained:
        raise BitBloomError(f"{root}: the split train has no folder {_some(untrained)}: add it, or remove it from the others")


def _has_images(folder: Path) -> bool:
    return any(path.is_file() and _is_image(path) for path in clutter.visible(folder))


def _is_image(path: Path) -> bool:
    """Return whether a file is an image by its signature. Broken links, sockets and the like are not."""
    return path.is_file() and imaging.is_image(_head(path))


def _is_heic(path: Path) -> bool:
    """Return whether a file is a HEIC photo by its brand or its suffix."""
    return path.suffix.lower() in (".heic", ".heif") or (path.is_file() and imaging.is_heic(_head(path)))


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(HEAD_BYTES)


def _report(given: Path, root: Path, skipped: Sequence[Path], unlabelled: Sequence[Path]) -> None:
    """Print the omitted files to stderr: those that are no images, those without a label, and clutter."""
    if skipped:
        names = sorted(_relative(path, root) for path in skipped)
        advice = f"; {imaging.HEIC_ADVICE}" if any(map(_is_heic, skipped)) else ""
        what = "1 file that is" if len(names) == 1 else f"{len(names):,} files that are"
        print(f"{root}: skipped {what} not an image in a class folder: {_some(names)}{advice}", file=sys.stderr)
    for folder in unlabelled:
        count = sum(1 for _ in clutter.walk(folder))
        print(f"{root}: skipped {_relative(folder, root)}, which has no classes of a split ({count:,} files)", file=sys.stderr)
    if left_out := clutter.summary(given):
        print(f"{given}: left out {left_out}", file=sys.stderr)


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _some(names: list[str]) -> str:
    shown = ", ".join(_printable(name) for name in names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN:,} more"


def _printable(name: str) -> str:
    return UNSAFE.sub("?", name)
