"""A remote in a folder, of this machine or mounted."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from bitbloom.pipeline.remote.store import Absent, Denied, Entry, NoSuchRemote, RemoteError, Unreachable

UNREACHABLE = frozenset({errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT})
"""Error numbers of a mounted folder whose server does not respond."""


class Folder:
    """Objects as files below a folder."""

    def __init__(self, root: Path) -> None:
        self.root, self.url = root, str(root)

    def check(self) -> None:
        """Return when the folder exists and may be listed."""
        with self._translated(), os.scandir(self.root) as entries:
            next(entries, None)

    def find(self, names: Collection[str]) -> dict[str, Entry]:
        """Those of these objects that exist."""
        with self._translated():
            return {name: Entry(path.stat().st_size, None) for name in names if (path := self.root / name).is_file()}

    def names(self, folder: str) -> list[str]:
        """The names of all objects in a folder, sorted; partial files of killed processes are none."""
        with self._translated():
            found = (path for path in (self.root / folder).rglob("*") if path.is_file() and not path.name.startswith("."))
            return sorted(path.relative_to(self.root).as_posix() for path in found)

    def read(self, name: str, file: Path) -> None:
        """Copy an object to a file. Raises Absent."""
        with self._translated():
            try:
                source = (self.root / name).open("rb")
            except FileNotFoundError as error:
                raise Absent(name) from error
            with source, file.open("wb") as stream:
                shutil.copyfileobj(source, stream, 1 << 20)

    def write(self, name: str, file: Path, replace: bool = False) -> None:
        """Copy beside, then rename: another process sees the object whole or not at all."""
        path = self.root / name
        with self._translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not replace:
                return
            number, name_beside = tempfile.mkstemp(prefix=".", suffix=".partial", dir=path.parent)
            beside = Path(name_beside)
            try:
                with os.fdopen(number, "wb") as stream, file.open("rb") as source:
                    shutil.copyfileobj(source, stream, 1 << 20)
                    stream.flush()
                    os.fsync(stream.fileno())
                beside.chmod(0o444 & ~_umask())  # as DVC: objects are not edited
                beside.replace(path)
            finally:
                beside.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise Denied(f"{self.url}: no right to open {error.filename}: ask its owner, or change its mode") from error
        except FileNotFoundError as error:
            if self.root.is_dir():
                raise
            raise NoSuchRemote(f"{self.url} does not exist: make remote BUCKET={self.url} CREATE=1") from error
        except NotADirectoryError as error:
            raise NoSuchRemote(f"{self.url} is not a folder") from error
        except OSError as error:
            kind = Unreachable if error.errno in UNREACHABLE else RemoteError
            raise kind(f"{self.url}: {error.strerror}: {error.filename or 'a file in it'}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
