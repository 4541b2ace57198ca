"""Source `webdataset`: photos in tar shards, in a folder or a bucket, for those who outgrow a folder of files.

A shard has the files of each sample one after another, with one name and several suffixes (https://github.com/webdataset):

    0001.jpg  0001.cls  0002.jpg  0002.cls  …

A shard is read once, from front to back; the memory holds one sample, and the names of one shard.
"""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from bitbloom.core.errors import BitBloomError
from bitbloom.core.progress import track
from bitbloom.data.sources import SourceFile
from bitbloom.data.sources.webdataset import addresses
from bitbloom.data.sources.webdataset.members import Member, Reader

GIVEN = "PHOTOS=path/to/shards"
TAKES = "a folder of tar shards in WebDataset's form"
SPLITS = ("train", "val", "test")
COLLECT_KEYS = SPLITS
SUMS = "SHA256SUMS"
"""A file beside the shards in the form of `sha256sum`; the shards that it names are verified while they are read."""
SUM = re.compile(r"([0-9a-f]{64}) [ *](.+)")
SAFE = re.compile(r"[^\x00-\x1f\x7f/\\]+")


@dataclass
class Config:
    """The `source` section."""

    kind: str = "webdataset"
    path: str = ""
    """A folder, relative to the workspace (`PHOTOS=` fills `data/external/<target>`); empty if the patterns have the address."""
    train: str = ""
    """Pattern of the shards of the training split: `train-{0000..0009}.tar`, `train-*.tar`, or with the address,
    `gs://bucket/train-{0000..0009}.tar`. `prepare` takes from them the splits that have no shards."""
    val: str = ""
    """Pattern of the shards of the validation split, or empty."""
    test: str = ""
    """Pattern of the shards of the test split, or empty."""
    images: list[str] = field(default_factory=lambda: ["jpg", "jpeg", "png", "webp"])
    """Suffixes of photos."""
    label: str = "cls"
    """Suffix of the label: a name, or a number if `classes` are given."""
    classes: list[str] = field(default_factory=list)
    """Names of the classes by number, from 0."""


@dataclass(frozen=True)
class Shard:
    """A shard: its split and its address."""

    split: str
    address: str

    @property
    def folder(self) -> str:
        """Where its photos go, below the destination."""
        return f"{self.split}/{PurePosixPath(self.address).name.partition('.')[0]}"


def collect(given: Path, destination: Path, train: str = "*.tar", val: str = "", test: str = "") -> None:
    """Copy the shards that the patterns name, and SHA256SUMS.

    Raises:
        BitBloomError: a shard is missing, or a pattern is an address.
    """
    if not given.is_dir():
        raise BitBloomError(f"{given}: not a folder; PHOTOS= takes {TAKES}")
    for shard in track(_shards(Config(path=str(given), train=train, val=val, test=test)), "copy shards"):
        target = destination / Path(shard.address).relative_to(given)
        target.parent.mkdir(parents=True, exist_ok=True)
        with addresses.opened(shard.address) as stream, target.open("xb") as copied:
            shutil.copyfileobj(stream, copied)
    if (given / SUMS).is_file():
        shutil.copyfile(given / SUMS, destination / SUMS)


def fetch(config: Config, destination: Path, workers: int = 1) -> list[SourceFile]:
    """Write the photos of all shards below `destination`; see `stream`."""
    return list(stream(config, destination, workers))


def stream(config: Config, destination: Path, workers: int = 1) -> Iterator[SourceFile]:
    """Write the photos to `destination`/<split>/<shard>/<key>.jpg; yield them in the order of the paths.

    Raises:
        BitBloomError: a shard is missing, damaged or another one than its checksum says; a sample has no photo or no label, or
            its key is there twice. The message names shard and offset.
    """
    shards = _shards(config)
    sums = _sums(config, shards)
    for shard in track(shards, "read shards"):
        with addresses.opened(shard.address) as opened:
            reader = Reader(opened, shard.address)
            found = [_write(shard, sample, config, destination) for sample in _samples(shard, reader)]
        if not found:
            raise BitBloomError(f"{shard.address}: it has no samples: is the shard whole?")
        if reader.digest != sums.get(shard.address, reader.digest):
            raise BitBloomError(f"{shard.address}: its SHA-256 is not that of {SUMS}: download it again")
        yield from sorted(found, key=lambda file: file.id)


def _shards(config: Config) -> list[Shard]:
    """Return all shards in the order of their folders. Raises BitBloomError for a wrong configuration."""
    if not config.train:
        raise BitBloomError("source.train is empty: it has to name the shards of the training split")
    if addresses.is_remote(config.path):  # a path is a dependency of DVC, which would need the credentials at every check
        raise BitBloomError(f"source.path is {config.path}: leave it empty, and put the whole addresses into source.train, …")
    patterns = [(split, getattr(config, split)) for split in SPLITS if getattr(config, split)]
    found = [Shard(split, name) for split, pattern in patterns for name in addresses.expand(config.path, pattern)]
    ordered = sorted(found, key=lambda shard: f"{shard.folder}/")
    for one, other in itertools.pairwise(ordered):
        if one.folder == other.folder:
            raise BitBloomError(f"source.{one.split}: {one.address} and {other.address} have one name: rename one")
    return ordered


def _sums(config: Config, shards: list[Shard]) -> dict[str, str]:
    """Return the expected SHA-256 of the shards that a file beside them names, by address."""
    folders = {shard.address.rpartition("/")[0] for shard in shards} | ({config.path.rstrip("/")} if config.path else set())
    found: dict[str, str] = {}
    for folder in folders:
        content = addresses.text(f"{folder}/{SUMS}") or ""
        lines = [match for line in content.splitlines() if (match := SUM.fullmatch(line.strip()))]
        found.update({f"{folder}/{line[2]}": line[1] for line in lines})
    return found


def _samples(shard: Shard, reader: Reader) -> Iterator[tuple[str, dict[str, Member]]]:
    """Iterate over key and files of each sample. Raises BitBloomError if a key or a suffix of it is there twice."""
    seen: set[str] = set()
    key, files = "", dict[str, Member]()
    for member in reader.members():
        name = PurePosixPath(member.name)
        if name.name.startswith((".", "__")):  # of macOS, or of tools
            continue
        stem, _, suffix = name.name.partition(".")
        own = (name.parent / stem).as_posix()
        if own != key:
            if files:
                yield key, files
            if own in seen:
                raise BitBloomError(
                    f"{shard.address}: at byte {member.offset:,}: the key '{own}' is there twice: rename one sample"
                )
            seen.add(own)
            key, files = own, {}
        if suffix.lower() in files:
            raise BitBloomError(f"{shard.address}: at byte {member.offset:,}: '{own}' has two files .{suffix.lower()}")
        files[suffix.lower()] = member
    if files:
        yield key, files


def _write(shard: Shard, sample: tuple[str, dict[str, Member]], config: Config, destination: Path) -> SourceFile:
    """Write the photo of a sample, and return it with its label."""
    key, files = sample
    where = f"{shard.address}: at byte {min(member.offset for member in files.values()):,}: '{key}'"
    images = [suffix for suffix in config.images if suffix in files]
    if len(images) != 1:
        raise BitBloomError(f"{where} has {len(images)} photos ({', '.join(sorted(files))}), and needs one")
    if config.label not in files:
        raise BitBloomError(f"{where} has no label .{config.label} ({', '.join(sorted(files))})")
    label = _label(where, files[config.label].data, config.classes)
    parts = PurePosixPath(key).parts
    if key.startswith("/") or ".." in parts or not all(SAFE.fullmatch(part) for part in parts):
        raise BitBloomError(f"{where} is not a plain path inside the shard")
    path = f"{shard.folder}/{key}.{images[0]}"
    (destination / path).parent.mkdir(parents=True, exist_ok=True)
    (destination / path).write_bytes(files[images[0]].data)
    return SourceFile(path, label, {"split": shard.split})


def _label(where: str, data: bytes, classes: list[str]) -> str:
    """Return the name of a class. Raises BitBloomError for a label that is not text, or not the number of a class."""
    try:
        text = data.decode().strip()
    except UnicodeDecodeError as error:
        raise BitBloomError(f"{where} has a label that is not UTF-8") from error
    if classes:
        if not text.isascii() or not text.isdigit() or int(text) >= len(classes):
            raise BitBloomError(f"{where} has the label {text!r}; it has to be a number from 0 to {len(classes) - 1}")
        return classes[int(text)]
    if not SAFE.fullmatch(text):
        raise BitBloomError(f"{where} has the label {text!r}; it has to be a name of one line, without slashes")
    return text
