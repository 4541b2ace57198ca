"""Safe extraction of untrusted tar and zip archives.

Extraction writes only plain files and folders below the destination. It refuses an archive as a whole if it contains links,
devices, paths outside the folder, repeated names, or too much data for its size; the error names the member. A refused
archive leaves nothing on the disk.

`tarfile` (with its filter `data`) and `zipfile` write the members, and keep them inside the folder. Both change some members to
do so: they strip the root of an absolute path, follow a link inside the folder, or write a name a second time. This module
refuses such members beforehand, and also limits what the libraries do not: bytes, ratio and number of files.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from bitbloom.core.canonical import replacing_folder
from bitbloom.core.errors import BitBloomError
from bitbloom.data import zip_names

COMPRESSIONS: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
"""First bytes → function that opens the decompressed tar."""

LARGEST_HEADER = 1 << 20
"""Largest header of a tar, bytes; real headers have a name and a few numbers."""
UNSAFE = re.compile(r"[\x00-\x1f\x7f]|^[A-Za-z]:")
"""Control characters and Windows drives."""
ICON = re.compile(r"(?:.*/)?(?:\._)?Icon\r")
"""The icon of a folder in macOS: the only usual name with a control character, and no data."""
BY_HAND = "unpack it yourself and give the folder"
BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError)
"""Errors of the standard library for damaged, encrypted or unsupported archives."""


@dataclass(frozen=True)
class Limits:
    """Limits of the unpacked data. The ratio applies only above `free_bytes`, because little data cannot fill a disk."""

    files: int = 1_000_000
    total_bytes: int = 100_000_000_000
    ratio: float = 100.0
    free_bytes: int = 100_000_000


@dataclass(frozen=True)
class _Member:
    """An entry of a tar or zip. `refusal` is the reason to refuse it, or empty."""

    name: str
    size: int
    is_folder: bool
    refusal: str
    extract: Callable[[Path], object]


def is_archive(path: Path) -> bool:
    """Return whether a file is a tar (plain, gz, bz2, xz) or a zip, by its content."""
    return path.is_file() and (_is_zip(path) or tarfile.is_tarfile(path))


def extract(archive: Path, destination: Path, limits: Limits | None = None) -> None:
    """Unpack a tar (.gz, .bz2, .xz) or zip; its content replaces the folder `destination`.

    Raises:
        BitBloomError: the file is not an archive, is damaged, or is refused; `destination` does not change.
    """
    if not archive.is_file():
        raise BitBloomError(f"{archive}: there is no such file")
    try:
        with replacing_folder(destination) as temporary:
            members = _zip_members(archive) if _is_zip(archive) else _tar_members(archive)
            _unpack(archive, members, temporary, limits or Limits())
    except BROKEN as error:
        raise BitBloomError(f"{archive}: not a readable tar or zip archive ({error}): is it whole?") from error


def _unpack(archive: Path, members: Iterator[_Member], folder: Path, limits: Limits) -> None:
    """Write every member below the folder, and check the limits."""
    most = min(limits.total_bytes, max(limits.free_bytes, int(limits.ratio * archive.stat().st_size)))
    total, files, icons = 0, 0, 0
    for member in members:
        if ICON.fullmatch(member.name):
            icons += 1
            continue
        path = _checked(archive, member)
        total += member.size
        if total > most:
            raise BitBloomError(f"{archive}: refused at '{member.name}': it unpacks to more than {most:,} bytes")
        if member.is_folder:
            (folder / path).mkdir(parents=True, exist_ok=True)
            continue
        if os.path.lexists(folder / path):  # by the file system, which can treat two spellings as one name
            raise BitBloomError(f"{archive}: refused: '{member.name}' is in it twice")
        files += 1
        if files > limits.files:
            raise BitBloomError(f"{archive}: refused: it holds more than {limits.files:,} files")
        _write(archive, member, folder)
    if icons:
        print(f"{archive}: left out {icons:,} icons of folders in macOS (Icon\\r)", file=sys.stderr)


def _checked(archive: Path, member: _Member) -> PurePosixPath:
    """Return the member's path, checked to be relative and safe."""
    path = PurePosixPath(member.name)
    if member.refusal:
        raise BitBloomError(f"{archive}: refused: '{member.name}' {member.refusal}")
    if path.is_absolute() or ".." in path.parts or UNSAFE.search(member.name):
        raise BitBloomError(f"{archive}: refused: '{ascii(member.name)[1:-1]}' is not a plain path inside the folder")
    if not member.is_folder and not path.parts:
        raise BitBloomError(f"{archive}: refused: a file in it has no name")
    return path


def _write(archive: Path, member: _Member, folder: Path) -> None:
    """Extract one file, without its owner, permissions and times."""
    try:
        member.extract(folder)
    except tarfile.FilterError as error:
        raise BitBloomError(f"{archive}: refused: {error}: {BY_HAND}") from error
    except BROKEN as error:
        raise BitBloomError(f"{archive}: '{member.name}' cannot be unpacked ({error}): is the archive whole?") from error


def _is_zip(path: Path) -> bool:
    """Return whether a file is a zip by its first bytes; `zipfile.is_zipfile` checks the end, where a tar can contain a zip."""
    with path.open("rb") as stream:
        return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def _zip_members(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        try:
            names, guess = zip_names.names(archive.infolist())
        except ValueError as error:
            raise BitBloomError(f"{path}: {UNSAFE.sub('?', str(error))}, which it does not say: {BY_HAND}") from error
        _report(path, names, guess)
        for info, name in zip(archive.infolist(), names, strict=True):
            mode = info.external_attr >> 16
            refusal = f"is encrypted: {BY_HAND}" if info.flag_bits & 1 else ""
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                refusal = f"is a link or a device: {BY_HAND}"
            info.filename = name.replace("\\", "/")  # some Windows programs write backslashes
            yield _Member(info.filename, info.file_size, info.is_dir(), refusal, partial(archive.extract, info))


def _report(archive: Path, names: Sequence[str], guess: str) -> None:
    """Print the guess of an encoding to stderr, with one of the names."""
    if guess:
        example = UNSAFE.sub("?", next(name for name in names if not name.isascii()))
        print(
            f"{archive}: the names are not UTF-8, and are read as {guess}, a guess: '{example}'; if it is wrong, {BY_HAND}",
            file=sys.stderr,
        )


def _tar_members(path: Path) -> Iterator[_Member]:
    with _decompressed(path) as stream, tarfile.open(fileobj=_Limited(stream), mode="r:") as archive:  # type: ignore[call-overload]
        for info in archive:
            refusal = f"is a link: {BY_HAND}" if info.islnk() or info.issym() else ""
            if info.issparse():
                refusal = f"is a sparse file: {BY_HAND}"
            write = partial(archive.extract, info, set_attrs=False, filter="data")
            yield _Member(info.name, info.size, info.isdir(), refusal, write)
        # tarfile treats a truncated or damaged header as the end; the real end is a block of zeros.
        stream.seek(archive.offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("it ends early")
        while stream.read(LARGEST_HEADER):  # reads to the checksum at the end of a compressed stream
            pass


def _decompressed(path: Path) -> IO[bytes]:
    with path.open("rb") as stream:
        head = stream.read(8)
    for magic, opener in COMPRESSIONS.items():
        if head.startswith(magic):
            return cast(IO[bytes], opener(path))
    return path.open("rb")


class _Limited:
    """The part of a file object that tarfile uses, with a limit on reads for hostile headers."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.tell, self.seek, self._read = stream.tell, stream.seek, stream.read

    def read(self, size: int) -> bytes:
        if size > LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._read(size)
