"""DVC's cache: objects by MD5, and the records of runs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bitbloom.core.errors import BitBloomError

FILES, RUNS = "files/md5", "runs"
"""Folders of objects and of runs, in the cache and in a remote."""
DIRECTORY = ".dir"
"""The end of the name of an object that lists a folder."""
PROTECTED = 0o444
"""The mode by which DVC knows an object whose digest was compared."""
STALE_SECONDS = 86_400
"""Age from which a folder of incoming files belongs to a process that was killed."""


class Member(NamedTuple):
    """A file of a folder: its path in it, and its MD5."""

    path: str
    md5: str


def object_name(md5: str) -> str:
    """The name of an object in the cache and in a remote; `md5` ends in `.dir` for a folder."""
    return f"{FILES}/{md5[:2]}/{md5[2:]}"


def digest(file: Path) -> str:
    """The MD5 of a file, by which DVC names it."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


class Cache:
    """The cache at a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, md5: str) -> Path:
        """The file of an object."""
        return self.root / object_name(md5)

    def has(self, md5: str) -> bool:
        """Whether an object is here."""
        return self.path(md5).is_file()

    def is_whole(self, md5: str) -> bool:
        """Whether an object is here and has its digest."""
        return self.has(md5) and digest(self.path(md5)) == md5.removesuffix(DIRECTORY)

    def take(self, file: Path, md5: str) -> None:
        """Move a file whose digest was compared into the cache."""
        to = self.path(md5)
        to.parent.mkdir(parents=True, exist_ok=True)
        file.chmod(PROTECTED)
        file.replace(to)

    def members(self, md5: str) -> list[Member]:
        """The files of a folder whose listing is here. Raises BitBloomError when it is damaged."""
        try:
            listed = json.loads(self.path(md5).read_text(encoding="utf-8"))
            return [Member(str(entry["relpath"]), str(entry["md5"])) for entry in listed]
        except (ValueError, KeyError, TypeError) as error:
            raise BitBloomError(f"{self.path(md5)} is damaged: delete it, and run again") from error

    @contextlib.contextmanager
    def incoming(self) -> Iterator[Path]:
        """A new folder for files on their way in, on the cache's file system, while the block runs."""
        place = self.root / "incoming"
        place.mkdir(parents=True, exist_ok=True)
        for left in place.iterdir():  # by a process that was killed; several checkouts may share a cache
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=place) as folder:
            yield Path(folder)

    def runs(self) -> Iterator[Path]:
        """The records of runs."""
        return (file for file in sorted((self.root / RUNS).glob("*/*/*")) if file.is_file())
