"""Where inputs come from: a folder of photos, a bucket, a table of paths, a table or a file of texts."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from bitbloom.core.errors import BitBloomError, UnreadableImage
from bitbloom.data.clutter import is_clutter
from bitbloom.experiments.batch import bucket, tables
from bitbloom.experiments.batch.listing import UNKNOWN, Entry, Photo
from bitbloom.serving import files, limits

OF_ONE_FILE = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""Errors of one file, which become its prediction's `error`. Others, such as a failing disk, stop the run."""
READERS = 2
"""Threads that read files ahead of the network."""


@dataclass(frozen=True)
class Source:
    """Inputs in their order, and the folder or bucket that the names of photos are relative to."""

    root: str
    entries: Iterator[Entry]


def open_source(given: str, texts: bool, column: str) -> Source:
    """Open a source for a model of texts or of photos.

    Args:
        given: a folder, a table (.parquet, .csv, .tsv), `gs://bucket/prefix`; for texts also a file of lines.
        texts: whether the model takes texts.
        column: the column of a table with the texts or the paths.

    Raises:
        BitBloomError: there is no such source, or it does not fit the model.
    """
    path = Path(given)
    if texts:
        if path.is_dir() or bucket.is_url(given):
            raise BitBloomError(f"{given}: the model takes texts: give a table (.parquet, .csv, .tsv) or a file of lines")
        return Source("", tables.rows(path, column))
    if bucket.is_url(given):
        return Source(given.rstrip("/"), bucket.photos(given))
    if path.is_dir():
        return Source(str(path.resolve()), folder(path))
    if tables.is_table(path):
        root = path.resolve().parent
        return Source(str(root), (_listed(root, name) for name in tables.paths(path, column)))
    if path.exists():
        raise BitBloomError(f"{given}: with --out give a folder, gs://bucket/prefix, or a table (.parquet, .csv, .tsv) of paths")
    raise BitBloomError(f"{given}: there is no such folder or file")


def folder(root: Path) -> Iterator[Photo]:
    """Iterate over the files below a folder, sorted folder by folder, without those of operating systems and tools.

    Every other file is an input: one that is not a photo gets an `error`. Links are followed, except to a parent folder.
    """
    yield from _walk(root, "", ())


def _walk(root: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[Photo]:
    try:
        found = (root / prefix).stat()
        here = (found.st_dev, found.st_ino)
        if here in above:
            return
        with os.scandir(root / prefix) as found_entries:
            entries = sorted((entry for entry in found_entries if not is_clutter(entry.name)), key=attrgetter("name"))
    except OSError as error:
        raise BitBloomError(f"{root / prefix} cannot be listed: {error.strerror}") from error
    for entry in entries:
        if entry.is_dir():
            yield from _walk(root, f"{prefix}{entry.name}/", (*above, here))
        else:
            yield _photo(prefix + entry.name, entry.stat)


def _listed(root: Path, name: str) -> Photo:
    """A photo that a table names."""
    return Photo(name) if bucket.is_url(name) or "\0" in name else _photo(name, (root / name).stat)


def _photo(name: str, facts: Callable[[], os.stat_result]) -> Photo:
    """A photo with size and time of its file, if there is one."""
    try:
        found = facts()
    except OSError:
        return Photo(name)
    return Photo(name, found.st_size if stat.S_ISREG(found.st_mode) else UNKNOWN, str(found.st_mtime_ns))


@dataclass(frozen=True)
class Reader:
    """Reads photos by their names relative to `root`, a folder or a bucket."""

    root: str

    @property
    def threads(self) -> int:
        """How many photos to read at a time: a bucket takes tens of milliseconds for each."""
        return bucket.READERS if bucket.is_url(self.root) else READERS

    def read(self, photo: Photo, max_bytes: int) -> bytes:
        """The bytes of a photo.

        Raises:
            UnreadableImage: it has more than `max_bytes`.
            OSError: this file cannot be read.
            BitBloomError: the disk or the bucket cannot be read.
        """
        if photo.size > max_bytes:
            raise UnreadableImage(limits.large_photo(max_bytes))
        url = f"{self.root}/{photo.name}" if bucket.is_url(self.root) else photo.name
        if bucket.is_url(url):
            return bucket.read(url)
        path = Path(self.root, photo.name)
        try:
            if "\0" in photo.name or not stat.S_ISREG(path.stat().st_mode):
                raise OSError(errno.ENOENT, "there is no such file")
            return files.read_photo(path, max_bytes)
        except OSError as error:
            if error.errno in OF_ONE_FILE:
                raise
            raise BitBloomError(f"{path} cannot be read: {error.strerror}; repair that and run the command again") from error
