"""What holds objects by name, and how it fails.

The kind of a failure is the class of an exception: never a word or a number in a message, which may stand in a file's name.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple, Protocol

from bitbloom.core.errors import BitBloomError


class RemoteError(BitBloomError):
    """The remote refuses, or does not exist."""


class Unreachable(RemoteError):
    """The network or the service failed. The objects may be whole: a later try can succeed."""


class Denied(RemoteError):
    """There are no credentials, or their rights do not suffice."""


class NoSuchRemote(RemoteError):
    """The bucket or the folder does not exist."""


class Absent(Exception):
    """The remote has no object of this name."""


class Entry(NamedTuple):
    """An object in the remote: its bytes, and the MD5 that the service computed when it received them; a folder has none."""

    size: int
    md5: str | None


class Store(Protocol):
    """Objects by name; names have slashes. Every method raises RemoteError."""

    url: str

    def check(self) -> None:
        """Return when the remote exists and may be listed. Fails fast, without repetitions."""

    def find(self, names: Collection[str]) -> dict[str, Entry]:
        """Those of these objects that exist."""

    def names(self, folder: str) -> list[str]:
        """The names of all objects in a folder, sorted."""

    def read(self, name: str, file: Path) -> None:
        """Write the content of an object to a file. Raises Absent."""

    def write(self, name: str, file: Path, replace: bool = False) -> None:
        """Store a file under a name, whole or not at all. Without `replace`, an object that exists stays as it is."""
