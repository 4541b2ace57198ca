"""The files of a tar in their order, read once from front to back, so that a tar in a bucket is never on the disk.

`tarfile` takes a damaged header for the end of the tar, and reads back and forth. Here every header is checked, the end has to be
a block of zeros (POSIX.1-1988), and every byte can be hashed on its way. Names may be long (pax, GNU).
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from bitbloom.core.errors import BitBloomError

BLOCK = tarfile.BLOCKSIZE
LARGEST = 64 << 20
"""Largest file in a tar, bytes: it is in memory."""
LARGEST_HEADER = 1 << 20
"""Largest pax header or long name, bytes."""
SKIPPED = (tarfile.DIRTYPE, tarfile.XGLTYPE)
REST = 1 << 18
WHOLE = "is the shard whole?"


@dataclass(frozen=True)
class Member:
    """A file in a tar: its name, the offset of its header, and its content."""

    name: str
    offset: int
    data: bytes


class Reader:
    """A tar that is read from front to back. `digest` is the SHA-256 of what was read; at the end, that of the whole."""

    def __init__(self, stream: BinaryIO, shard: str) -> None:
        self._stream, self._shard, self._hash, self._at = stream, shard, hashlib.sha256(), 0

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def members(self) -> Iterator[Member]:
        """Iterate over the files. Raises BitBloomError that names shard and offset if the tar is damaged, or has links."""
        name, size, start = "", None, 0
        while (info := self._header()) is not None:
            offset = self._at - BLOCK
            start = start if name or size is not None else offset
            if info.type in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
                content = self._content(info.size, LARGEST_HEADER, offset)
                if info.type == tarfile.GNUTYPE_LONGNAME:
                    name = content.rstrip(b"\0").decode("utf-8", "surrogateescape")
                else:
                    name, size = self._pax(content, offset, name, size)
                continue
            length = info.size if size is None else size
            if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, *SKIPPED):
                raise self._error(offset, f"'{name or info.name}' is a link or a device, and has to be a file")
            data = self._content(length, LARGEST, offset)
            if info.type not in SKIPPED:
                yield Member(name or info.name, start, data)
            name, size = "", None
        while self._read(REST):
            pass

    def _header(self) -> tarfile.TarInfo | None:
        """Read one header; None at the end of the tar."""
        offset, block = self._at, self._read(BLOCK)
        if block == bytes(BLOCK):
            return None
        if len(block) < BLOCK:
            raise self._error(offset, f"it ends there, without the block of zeros that ends a tar: {WHOLE}")
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise self._error(offset, f"the header of a file is damaged ({error}): {WHOLE}") from error

    def _content(self, size: int, most: int, offset: int) -> bytes:
        """Read the content of the file whose header is at an offset, with its padding."""
        if not 0 <= size <= most:
            raise self._error(offset, f"a file has {size:,} bytes, more than the limit of {most:,}")
        padded = -(-size // BLOCK) * BLOCK
        data = self._read(padded)
        if len(data) < padded:
            raise self._error(offset, f"it ends inside the file that begins there, which has {size:,} bytes: {WHOLE}")
        return data[:size]

    def _read(self, count: int) -> bytes:
        """Read this number of bytes, fewer only at the end: a stream of a network may return less at a time."""
        parts: list[bytes] = []
        while count and (part := self._stream.read(count)):
            parts.append(part)
            count -= len(part)
        data = b"".join(parts)
        self._hash.update(data)
        self._at += len(data)
        return data

    def _pax(self, content: bytes, offset: int, name: str, size: int | None) -> tuple[str, int | None]:
        """Return name and size of the next file by the records `LENGTH KEY=VALUE` of a pax header."""
        at = 0
        while at < len(content):
            length = content[at:].partition(b" ")[0]
            record = content[at + len(length) + 1 : at + int(length) - 1] if length.isdigit() else b""
            key, equals, value = record.partition(b"=")
            if not equals:
                raise self._error(offset, f"a pax header is damaged: {WHOLE}")
            if key == b"path":
                name = value.decode("utf-8", "surrogateescape")
            if key == b"size" and value.isdigit():
                size = int(value)
            at += int(length)
        return name, size

    def _error(self, offset: int, what: str) -> BitBloomError:
        return BitBloomError(f"{self._shard}: at byte {offset:,}: {what}")
