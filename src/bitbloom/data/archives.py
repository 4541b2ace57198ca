"""Safe extraction of tar and zip archives that somebody else made.

Only plain files and folders come out, below the destination and nowhere else; an archive that asks for more
(links, devices, paths that leave the folder, the same name twice, far more data than its size lets expect) is
refused as a whole, with the member named. Nothing of a refused archive stays on the disk.

`tarfile` (by its filter `data`) and `zipfile` write the members, and let none out of the folder. Both would do so by changing
what an archive says: strip the root of an absolute path, follow a link that stays inside, write a name a second time. What
they would change is refused here before, and so is what they do not count: bytes, ratio and files.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from bitbloom.core.canonical import replacing_folder
from bitbloom.core.errors import BitBloomError

COMPRESSIONS: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
"""First bytes → what opens the decompressed tar."""

LARGEST_HEADER = 1 << 20
"""Bytes of one header of a tar; real ones hold a name and a few numbers."""
UNSAFE = re.compile(r"[\x00-\x1f\x7f]|^[A-Za-z]:")
"""Control characters, and the drives of Windows."""
BY_HAND = "unpack it yourself and give the folder"
BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError)
"""What the standard library raises on damaged, encrypted or unsupported archives."""


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to. The ratio counts only above `free_bytes`: little data cannot fill a disk."""

    files: int = 1_000_000
    total_bytes: int = 100_000_000_000
    ratio: float = 100.0
    free_bytes: int = 100_000_000


@dataclass(frozen=True)
class _Member:
    """One entry, the same for tar and zip. `refusal` says why it may not come out, or is empty."""

    name: str
    size: int
    is_folder: bool
    refusal: str
    extract: Callable[[Path], object]


def is_archive(path: Path) -> bool:
    """Whether a file is a tar (plain, gz, bz2, xz) or a zip, by its content."""
    return path.is_file() and (_is_zip(path) or tarfile.is_tarfile(path))


def extract(archive: Path, destination: Path, limits: Limits | None = None) -> None:
    """Unpack a tar (.gz, .bz2, .xz) or zip; the folder `destination` then holds it, and only it.

    Raises:
        BitBloomError: no archive, a damaged one, or one that is refused; `destination` is left as it was.
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
    """Write every member below the folder, counting as it goes."""
    most = min(limits.total_bytes, max(limits.free_bytes, int(limits.ratio * archive.stat().st_size)))
    total, files = 0, 0
    for member in members:
        path = _checked(archive, member)
        total += member.size
        if total > most:
            raise BitBloomError(f"{archive}: refused at '{member.name}': it unpacks to more than {most:,} bytes")
        if member.is_folder:
            (folder / path).mkdir(parents=True, exist_ok=True)
            continue
        if os.path.lexists(folder / path):  # asked of the disk, which may take two spellings for one name
            raise BitBloomError(f"{archive}: refused: '{member.name}' is in it twice")
        files += 1
        if files > limits.files:
            raise BitBloomError(f"{archive}: refused: it holds more than {limits.files:,} files")
        _write(archive, member, folder)


def _checked(archive: Path, member: _Member) -> PurePosixPath:
    """The member's path, relative and free of tricks."""
    path = PurePosixPath(member.name)
    if member.refusal:
        raise BitBloomError(f"{archive}: refused: '{member.name}' {member.refusal}")
    if path.is_absolute() or ".." in path.parts or UNSAFE.search(member.name):
        raise BitBloomError(f"{archive}: refused: '{ascii(member.name)[1:-1]}' is no plain path inside the folder")
    if not member.is_folder and not path.parts:
        raise BitBloomError(f"{archive}: refused: a file in it has no name")
    return path


def _write(archive: Path, member: _Member, folder: Path) -> None:
    """Copy one file out; its owner, permissions and times stay behind."""
    try:
        member.extract(folder)
    except tarfile.FilterError as error:
        raise BitBloomError(f"{archive}: refused: {error}: {BY_HAND}") from error
    except BROKEN as error:
        raise BitBloomError(f"{archive}: '{member.name}' cannot be unpacked ({error}): is the archive whole?") from error


def _is_zip(path: Path) -> bool:
    """By its first bytes: `zipfile.is_zipfile` looks at the end, where a tar may hold a zip as its last file."""
    with path.open("rb") as stream:
        return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def _zip_members(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            refusal = f"is encrypted: {BY_HAND}" if info.flag_bits & 1 else ""
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                refusal = f"is a link or a device: {BY_HAND}"
            info.filename = info.filename.replace("\\", "/")  # as some Windows programs write it
            yield _Member(info.filename, info.file_size, info.is_dir(), refusal, partial(archive.extract, info))


def _tar_members(path: Path) -> Iterator[_Member]:
    with _decompressed(path) as stream, tarfile.open(fileobj=_Careful(stream), mode="r:") as archive:  # type: ignore[call-overload]
        for info in archive:
            refusal = f"is a link: {BY_HAND}" if info.islnk() or info.issym() else ""
            if info.issparse():
                refusal = f"is a sparse file: {BY_HAND}"
            write = partial(archive.extract, info, set_attrs=False, filter="data")
            yield _Member(info.name, info.size, info.isdir(), refusal, write)
        # tarfile takes a cut or damaged header for the end; the real end is a block of zeros.
        stream.seek(archive.offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("it ends early")
        while stream.read(LARGEST_HEADER):  # on to the checksum at the end of a compressed stream
            pass


def _decompressed(path: Path) -> IO[bytes]:
    with path.open("rb") as stream:
        head = stream.read(8)
    for magic, opener in COMPRESSIONS.items():
        if head.startswith(magic):
            return cast(IO[bytes], opener(path))
    return path.open("rb")


class _Careful:
    """The part of a file object that tarfile uses, without reads that only a hostile header asks for."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.tell, self.seek, self._read = stream.tell, stream.seek, stream.read

    def read(self, size: int) -> bytes:
        if size > LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._read(size)
