"""Where parts are: a folder, or a bucket of Google Cloud Storage or S3 by PyArrow's file systems.

A part appears under its name only when it is whole: in a folder it is written beside and renamed, in a bucket an object appears
when its upload ends.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from bitbloom.serving.prediction_log.settings import LogSettings

FOLDERS = LOG, FEEDBACK = "log", "feedback"
PARTIAL = ".partial"
STALE_SECONDS = 3600
"""Age from which a partial file belongs to a process that was killed."""
RETRY = timedelta(seconds=20)
"""How long a client of Google's storage repeats a failing request before it raises."""
EMULATOR = "STORAGE_EMULATOR_HOST"
"""The variable by which Google's clients find an emulator."""


class File(NamedTuple):
    """A file of the log: its name below the address, and its size in bytes."""

    name: str
    size: int


class Storage(Protocol):
    """Names are relative to the address of the log, with slashes. Every method raises OSError when the storage fails."""

    def write(self, name: str, content: bytes) -> None:
        """Write a whole file, in place of one of this name."""

    def files(self) -> Iterator[File]:
        """Iterate over the files in FOLDERS."""

    def delete(self, name: str) -> None:
        """Delete a file, unless it is already gone."""


def opened(settings: LogSettings) -> Storage:
    """The storage of an address."""
    return Bucket(settings.address) if settings.in_bucket else Folder(Path(settings.address))


class Folder:
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name: str, content: bytes) -> None:
        """Write beside, and rename: a kill leaves no half-written part."""
        path = self.root / name
        beside = path.with_name(f".{path.name}{PARTIAL}")
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)

    def files(self) -> Iterator[File]:
        """Iterate over the files in FOLDERS. Deletes what killed processes left half-written."""
        for path in self._paths():
            with contextlib.suppress(FileNotFoundError):  # another process of the service has deleted it
                state = path.stat()
                if path.name.endswith(PARTIAL):
                    if time.time() - state.st_mtime > STALE_SECONDS:
                        path.unlink()
                elif path.is_file():
                    yield File(path.relative_to(self.root).as_posix(), state.st_size)

    def _paths(self) -> list[Path]:
        """What is in FOLDERS. A folder that another process deletes meanwhile is empty."""
        walks = (os.walk(self.root / folder) for folder in FOLDERS)
        return sorted(Path(folder, name) for walk in walks for folder, _, names in walk for name in names)

    def delete(self, name: str) -> None:
        """Delete a file, and its folder when nothing else is in it."""
        path = self.root / name
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it has other files
            path.parent.rmdir()


class Bucket:
    """A bucket, at `gs://bucket/prefix` or `s3://bucket/prefix`. Credentials are those of the environment or the machine."""

    def __init__(self, address: str) -> None:
        self.system, self.root = file_system(address)

    def write(self, name: str, content: bytes) -> None:
        """Upload an object."""
        with self.system.open_output_stream(f"{self.root}/{name}") as stream:
            stream.write(content)

    def files(self) -> Iterator[File]:
        """Iterate over the objects below FOLDERS."""
        from pyarrow import fs

        for folder in FOLDERS:
            for found in self.system.get_file_info(
                fs.FileSelector(f"{self.root}/{folder}", allow_not_found=True, recursive=True)
            ):
                if found.is_file:
                    yield File(found.path.removeprefix(f"{self.root}/"), found.size)

    def delete(self, name: str) -> None:
        """Delete an object."""
        with contextlib.suppress(FileNotFoundError):
            self.system.delete_file(f"{self.root}/{name}")


def file_system(address: str) -> tuple[Any, str]:
    """PyArrow's file system of an address (a folder, gs:// or s3://), and the path in it."""
    from pyarrow import fs

    if "://" not in address:
        return fs.LocalFileSystem(), str(Path(address).resolve())
    if not address.startswith("gs://"):
        system, path = fs.FileSystem.from_uri(address)
        return system, path.rstrip("/")
    path = address.removeprefix("gs://").rstrip("/")
    emulator = os.environ.get(EMULATOR, "")
    if not emulator:
        return fs.GcsFileSystem(retry_time_limit=RETRY), path
    url = urlsplit(emulator if "://" in emulator else f"http://{emulator}")
    return fs.GcsFileSystem(anonymous=True, scheme=url.scheme, endpoint_override=url.netloc, retry_time_limit=RETRY), path
