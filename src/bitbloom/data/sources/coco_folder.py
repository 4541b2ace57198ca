"""Source `coco_folder`: photos with captions in the format of COCO (Lin et al. 2014, arXiv:1405.0312).

`make all TARGET=captions-folder CAPTIONS=path` imports a folder, tar or zip with the photos, in any subfolder, and one JSON file
with `images` (id, file_name) and `annotations` (image_id, caption).
"""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from omegaconf import MISSING

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.core.progress import track
from bitbloom.data.sources import SourceFile

GIVEN = "CAPTIONS=path/to/folder"
TAKES = "a folder, a tar or a zip with photos and COCO's caption JSON"
PAIRS = "captions.json"
PHOTOS = "photos"


@dataclass
class Config:
    """The `source` section."""

    kind: str = "coco_folder"
    path: str = MISSING
    """The imported folder, with captions.json and photos/."""


@dataclass(frozen=True)
class Captioned:
    """A photo's file name and its captions, in the order of the annotations."""

    name: str
    captions: tuple[str, ...]


def collect(given: Path, destination: Path) -> None:
    """Copy the photos with captions to `destination`/photos, and write the captions to captions.json.

    Raises:
        BitBloomError: there is no annotation file or more than one, its form is wrong, or a photo is missing or repeated.
    """
    if not given.is_dir():
        raise BitBloomError(f"{given}: not a tar or zip archive; CAPTIONS= takes {TAKES}")
    pairs = read(_annotations(given))
    files = _photos(given, {pair.name for pair in pairs})
    (destination / PHOTOS).mkdir(parents=True)
    for pair in track(pairs, "copy photos"):
        shutil.copyfile(files[pair.name], destination / PHOTOS / pair.name)
    write(destination / PAIRS, pairs)


def fetch(config: Config, destination: Path, workers: int = 1) -> list[SourceFile]:
    """Copy the photos; the attribute `captions` has their captions."""
    folder = Path(config.path)
    if not (folder / PAIRS).is_file():
        raise BitBloomError(f"{folder / PAIRS} is missing: import your photos with {GIVEN}")
    pairs = read(folder / PAIRS)
    (destination / PHOTOS).mkdir(parents=True)
    for pair in pairs:
        shutil.copyfile(folder / PHOTOS / pair.name, destination / PHOTOS / pair.name)
    return [SourceFile(f"{PHOTOS}/{pair.name}", "", {"captions": list(pair.captions)}) for pair in pairs]


def read(file: Path) -> list[Captioned]:
    """Return the photos of an annotation file that have captions; see `parse`."""
    return parse(file.read_bytes(), str(file))


def parse(data: bytes, file: str) -> list[Captioned]:
    """Return the photos with captions of an annotation file's content, sorted by name. Errors refer to it as `file`.

    Raises:
        BitBloomError: the form is not COCO's, two photos have one name, or the photo of a caption is missing.
    """
    tree = _tree(data, file)
    names = {image["id"]: _file_name(file, image["file_name"]) for image in tree["images"]}
    repeated = [name for name, count in Counter(names.values()).items() if count > 1]
    if repeated or len(names) != len(tree["images"]):
        raise BitBloomError(f"{file}: two photos have the name or the id of {(repeated or ['another'])[0]}: rename one")
    sentences: dict[str, list[str]] = defaultdict(list)
    for annotation in tree["annotations"]:
        if annotation["image_id"] not in names:
            raise BitBloomError(f"{file}: a caption is of photo {annotation['image_id']}, which `images` does not have")
        sentences[names[annotation["image_id"]]].append(annotation["caption"])
    return [Captioned(name, tuple(sentences[name])) for name in sorted(sentences)]


def write(file: Path, pairs: Iterable[Captioned]) -> None:
    """Write an annotation file of these photos, in COCO's form."""
    numbered = list(enumerate(pairs, start=1))
    images = [{"id": number, "file_name": pair.name} for number, pair in numbered]
    annotations = [{"image_id": number, "caption": caption} for number, pair in numbered for caption in pair.captions]
    canonical.write_json(file, {"images": images, "annotations": annotations})


def _tree(data: bytes, file: str) -> dict[str, Any]:
    """Parse the file's content, and check the keys of each entry."""
    try:
        tree = json.loads(data.decode())
        for section, keys in (("images", {"id", "file_name"}), ("annotations", {"image_id", "caption"})):
            if not all(keys <= entry.keys() for entry in tree[section]):
                raise KeyError(f"{' or '.join(sorted(keys))} in an entry of {section}")
            if not all(isinstance(entry.get(key, ""), str) for entry in tree[section] for key in ("caption", "file_name")):
                raise TypeError("a caption or a file name is not a text")
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BitBloomError(
            f"{file} is not COCO's caption JSON ({error}): "
            "it has to contain `images` (id, file_name) and `annotations` (image_id, caption)"
        ) from error
    found: dict[str, Any] = tree
    return found


def _file_name(file: str, name: str) -> str:
    """Return the last part of a photo's name. Raises BitBloomError if the name leads out of its folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise BitBloomError(f"{file}: the file name {name!r} leads out of its folder")
    return path.name


def _annotations(folder: Path) -> Path:
    """Return the only annotation file of a folder."""
    found = [path for path in sorted(folder.rglob("*.json")) if _has_captions(path)]
    if len(found) != 1:
        names = ", ".join(path.relative_to(folder).as_posix() for path in found) or "none"
        raise BitBloomError(f"{folder} has to contain one JSON file of captions; it contains {names}")
    return found[0]


def _has_captions(file: Path) -> bool:
    """Return whether a file has caption annotations, unlike COCO's other files (boxes, keypoints)."""
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, ValueError):
        return False
    if not isinstance(tree, dict) or not isinstance(tree.get("annotations"), list):
        return False
    return any("caption" in entry for entry in tree["annotations"][:1] if isinstance(entry, dict))


def _photos(folder: Path, names: set[str]) -> dict[str, Path]:
    """Return the paths of the photos of these names."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.name in names:
            if path.name in found:
                raise BitBloomError(f"{folder}: {path.name} occurs twice, in {found[path.name].parent} and {path.parent}")
            found[path.name] = path
    missing = sorted(names - found.keys())
    if missing:
        raise BitBloomError(f"{folder}: {len(missing)} photos that have captions are missing, the first is {missing[0]}")
    return found
