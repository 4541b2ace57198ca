"""Source `coco_folder`: photos with captions in the format of COCO (Lin et al. 2014, arXiv:1405.0312).

`make all TARGET=captions-folder CAPTIONS=path` imports a folder, tar or zip with the photos, in any subfolder, and one JSON file
with `images` (id, file_name) and `annotations` (image_id, caption). Photos are found by their names; by the folders in
`file_name` too, if two photos have one name. Names are compared in Unicode NFC, with `/` for a backslash.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from omegaconf import MISSING

from bitbloom.core import canonical
from bitbloom.core.digests import file_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.core.progress import track
from bitbloom.data import clutter
from bitbloom.data.sources import SourceFile

GIVEN = "CAPTIONS=path/to/folder"
TAKES = "a folder, a tar or a zip with photos and COCO's caption JSON"
PAIRS = "captions.json"
PHOTOS = "photos"
WHOLE = re.compile(r"(\d{1,40})(?:\.0*)?")
CUT = re.compile(r"|.|-?I?n?f?[a-z]{0,7}|N|Na|\\?u?[0-9A-Fa-f]{0,4}", re.DOTALL)
"""The last characters of a JSON text that ends early: the start of a word, or of an escape."""


@dataclass
class Config:
    """The `source` section."""

    kind: str = "coco_folder"
    path: str = MISSING
    """The imported folder, with captions.json and photos/."""


@dataclass(frozen=True)
class Captioned:
    """A photo's file name, with folders only where two photos have one name, and its captions, in the order of the file."""

    name: str
    captions: tuple[str, ...]
    path: str = field(default="", compare=False)
    """The whole path of the annotation file."""


def collect(given: Path, destination: Path) -> None:
    """Copy the photos with captions to `destination`/photos, and write the captions to captions.json.

    Raises:
        BitBloomError: there is no annotation file or more than one, its form is wrong, or a photo is missing or repeated.
    """
    if not given.is_dir():
        raise BitBloomError(f"{given}: not a tar or zip archive; CAPTIONS= takes {TAKES}")
    pairs = read(_annotations(given))
    files = _photos(given, pairs)
    _copy(pairs, files, destination / PHOTOS)
    write(destination / PAIRS, pairs)
    if left_out := clutter.summary(given):
        print(f"{given}: left out {left_out}", file=sys.stderr)


def fetch(config: Config, destination: Path, workers: int = 1) -> list[SourceFile]:
    """Copy the photos; the attribute `captions` has their captions."""
    folder = Path(config.path)
    if not (folder / PAIRS).is_file():
        raise BitBloomError(f"{folder / PAIRS} is missing: import your photos with {GIVEN}")
    pairs = read(folder / PAIRS)
    _copy(pairs, {pair.name: folder / PHOTOS / pair.name for pair in pairs}, destination / PHOTOS)
    return [SourceFile(f"{PHOTOS}/{pair.name}", "", {"captions": list(pair.captions)}) for pair in pairs]


def _copy(pairs: Sequence[Captioned], files: Mapping[str, Path], folder: Path) -> None:
    """Copy the photos to their names below a folder."""
    for pair in track(pairs, "copy photos"):
        target = folder / pair.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(files[pair.name], target)


def read(file: Path) -> list[Captioned]:
    """Return the photos of an annotation file that have captions; see `parse`."""
    return parse(file.read_bytes(), str(file))


def parse(data: bytes, file: str) -> list[Captioned]:
    """Return the photos with captions of an annotation file's content, sorted by name. Errors refer to it as `file`.

    Raises:
        BitBloomError: the form is not COCO's, two photos have one name, or the photo of a caption is missing.
    """
    tree = _tree(data, file)
    paths = {_id(file, image["id"]): _path(file, image["file_name"]) for image in tree["images"]}
    repeated = [path.as_posix() for path, count in Counter(paths.values()).items() if count > 1]
    if repeated or len(paths) != len(tree["images"]):
        raise BitBloomError(f"{file}: two photos have the name or the id of {(repeated or ['another'])[0]}: rename one")
    said = {_id(file, annotation["image_id"]) for annotation in tree["annotations"]}
    names = _names({number: path for number, path in paths.items() if number in said})
    sentences: dict[str, list[str]] = defaultdict(list)
    for annotation in tree["annotations"]:
        number = _id(file, annotation["image_id"])
        if number not in names:
            raise BitBloomError(f"{file}: a caption is of photo {number}, which `images` does not have")
        sentences[names[number]].append(_whole(file, annotation["caption"], f"a caption of {names[number]}"))
    given = {name: paths[number].as_posix() for number, name in names.items()}
    return [Captioned(name, tuple(sentences[name]), given[name]) for name in sorted(sentences)]


def _names(paths: Mapping[str, PurePosixPath]) -> dict[str, str]:
    """Return the name of each photo: the last part of its path, or the path if several photos have that name."""
    counts = Counter(path.name for path in paths.values())
    return {number: path.name if counts[path.name] == 1 else path.as_posix() for number, path in paths.items()}


def write(file: Path, pairs: Iterable[Captioned]) -> None:
    """Write an annotation file of these photos, in COCO's form."""
    numbered = list(enumerate(pairs, start=1))
    images = [{"id": number, "file_name": pair.name} for number, pair in numbered]
    annotations = [{"image_id": number, "caption": caption} for number, pair in numbered for caption in pair.captions]
    canonical.write_json(file, {"images": images, "annotations": annotations})


def _tree(data: bytes, file: str) -> dict[str, Any]:
    """Parse the file's content, and check the keys of each entry."""
    try:
        tree = json.loads(data)  # UTF-8, UTF-16 or UTF-32, with or without a byte order mark
        for section, keys in (("images", {"id", "file_name"}), ("annotations", {"image_id", "caption"})):
            if not all(keys <= entry.keys() for entry in tree[section]):
                raise KeyError(f"{' or '.join(sorted(keys))} in an entry of {section}")
            if not all(isinstance(entry.get(key, ""), str) for entry in tree[section] for key in ("caption", "file_name")):
                raise TypeError("a caption or a file name is not a text")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BitBloomError(
            f"{file} is not COCO's caption JSON ({_reason(error, data)}): "
            "it has to contain `images` (id, file_name) and `annotations` (image_id, caption)"
        ) from error
    found: dict[str, Any] = tree
    return found


def _reason(error: Exception, data: bytes) -> str:
    """Describe an error of the parser."""
    if isinstance(error, json.JSONDecodeError) and (
        error.msg.startswith("Unterminated string") or CUT.fullmatch(error.doc[error.pos :].rstrip())
    ):
        return f"it ends early, in line {error.lineno}: is it whole?"
    if isinstance(error, UnicodeDecodeError) and error.end >= len(data) - 4:
        return "it ends early: is it whole?"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not Unicode: {error.reason} at byte {error.start:,}; save it as UTF-8"
    return str(error) or type(error).__name__


def _id(file: str, value: object) -> str:
    """Return an id as text: 3, 3.0, "3", "3.0" and "000003" are one id. Raises BitBloomError if it is neither number nor text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise BitBloomError(f"{file}: the id {value!r} is neither a number nor a text")
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    number = WHOLE.fullmatch(text)
    return str(int(number[1])) if number else text


def _path(file: str, name: str) -> PurePosixPath:
    """Return a photo's path in NFC, with `/`. Raises BitBloomError if it leads out of its folder."""
    path = _posix(_whole(file, name, "a file name"))
    if path.is_absolute() or ".." in path.parts or not path.name or (len(path.parts) > 1 and path.parts[0].endswith(":")):
        raise BitBloomError(f"{file}: the file name {name!r} leads out of its folder")
    return path


def _posix(name: str) -> PurePosixPath:
    return PurePosixPath(unicodedata.normalize("NFC", name.replace("\\", "/")))


def _whole(file: str, text: str, what: str) -> str:
    """Return a text with joined surrogate pairs. Raises BitBloomError if one half of a character is missing."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as error:
        raise BitBloomError(f"{file}: {what} has half a character (a lone surrogate): {text!a}; correct the text") from error


def _annotations(folder: Path) -> Path:
    """Return the only annotation file of a folder. A broken file counts if it mentions captions, or if no file has any."""
    files = [path for path in clutter.walk(folder) if path.suffix.lower() == ".json" and path.is_file()]
    found = [path for path in files if _has_captions(path)] or [path for path in files if _is_broken(path)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.relative_to(folder).as_posix() for path in found) or "none"
    others = f" of {len(files):,} JSON files" if files and not found else ""
    raise BitBloomError(
        f"{folder} has to contain one JSON file of captions; it contains {names}{others}: "
        f"{'remove the others' if found else f'CAPTIONS= takes {TAKES}'}"
    )


def _has_captions(file: Path) -> bool:
    """Return whether a file has caption annotations, unlike COCO's other files (boxes, keypoints)."""
    data = file.read_bytes()
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return b"caption" in data.replace(b"\0", b"")  # `read` says what is wrong with it
    if not isinstance(tree, dict) or not isinstance(tree.get("annotations"), list):
        return False
    return any("caption" in entry for entry in tree["annotations"] if isinstance(entry, dict))


def _is_broken(file: Path) -> bool:
    try:
        json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return True
    return False


def _photos(folder: Path, pairs: Sequence[Captioned]) -> dict[str, Path]:
    """Return the files of the photos by their names; see `_fitting`."""
    files: dict[str, list[tuple[PurePosixPath, Path]]] = defaultdict(list)
    for path in clutter.walk(folder):
        place = _posix(path.relative_to(folder).as_posix())
        files[place.name].append((place, path))
    found: dict[str, Path] = {}
    used: set[Path] = set()
    for pair in sorted(pairs, key=lambda pair: -len(_posix(pair.path or pair.name).parts)):  # y/a.jpg is not a.jpg
        if fitting := [path for path in _fitting(pair, files) if path not in used]:
            found[pair.name] = _only(folder, pair.name, fitting)
            used.update(fitting)
    missing = sorted({pair.name for pair in pairs} - found.keys())
    if missing:
        raise BitBloomError(f"{folder}: {len(missing)} photos that have captions are missing, the first is {missing[0]}")
    return found


def _fitting(pair: Captioned, files: Mapping[str, Sequence[tuple[PurePosixPath, Path]]]) -> list[Path]:
    """Return the files whose path ends in the photo's path, or in its name if no file does and the name is unique."""
    parts = PurePosixPath(pair.path or pair.name).parts
    named = files.get(parts[-1], [])
    fitting = [path for place, path in named if place.parts[-len(parts) :] == parts]
    return fitting or [path for _, path in named if "/" not in pair.name]


def _only(folder: Path, name: str, paths: Sequence[Path]) -> Path:
    """Return the only file of these, or one of equal files. Raises BitBloomError if they differ."""
    whole = [path for path in paths if path.is_file()]
    if not whole:
        raise BitBloomError(f"{folder}: {name} is a link to a file that does not exist")
    for other in whole[1:]:
        if file_digest(other) != file_digest(whole[0]):
            raise BitBloomError(
                f"{folder}: {name} occurs twice, in {whole[0].parent} and {other.parent}: "
                "remove one, or write the folder in file_name"
            )
    return whole[0]
