"""Deterministic archives: the same files give the same bytes on every machine.

The archive is a tar with sorted entries that have no owner, no time and one mode, in an xz container. The blocks of the
container are stored, not compressed: tools that expect `.tar.xz` open it, and its bytes depend on no version of a
compressor. (The .xz format: https://tukaani.org/xz/xz-file-format.txt.)
"""

from __future__ import annotations

import io
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from bitbloom.core import canonical
from bitbloom.core.digests import folder_files

MODE = 0o644
CHUNK = 65536
"""Largest stored chunk of LZMA2, bytes."""
DICTIONARY = 8
"""The xz code of a dictionary of 64 KiB, the smallest that holds a chunk."""
STREAM_FLAGS = b"\x00\x01"
"""Check by CRC-32."""


def write(folder: Path, path: Path) -> None:
    """Archive every file below a folder as a stored `.tar.xz`."""
    canonical.write_bytes(path, stored_xz(tar({name: file.read_bytes() for name, file in folder_files(folder).items()})))


def read(path: Path, member: str) -> bytes:
    """Return one member's bytes. Raises KeyError for a missing member, tarfile.TarError for another kind of file."""
    with tarfile.open(path, "r:xz") as archive:
        stream = archive.extractfile(member)
        if stream is None:
            raise KeyError(f"{member} in {path} is not a file")
        return stream.read()


def unpack(path: Path, folder: Path) -> None:
    """Write every member below a folder. Raises tarfile.TarError for a member that is not a plain file below the folder."""
    with tarfile.open(path, "r:xz") as archive:
        for entry in archive:
            name = PurePosixPath(entry.name)
            stream = archive.extractfile(entry) if entry.isreg() else None
            if stream is None or name.is_absolute() or ".." in name.parts:
                raise tarfile.ExtractError(f"{entry.name} in {path} is not a plain file below the archive's folder")
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(stream.read())


def tar(files: dict[str, bytes]) -> bytes:
    """Return a tar archive of files by their POSIX path."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(name)  # owner 0, time 0
            entry.size, entry.mode = len(data), MODE
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def stored_xz(data: bytes) -> bytes:
    """Return an xz file of one block with the uncompressed data."""
    header = b"\xfd7zXZ\x00" + STREAM_FLAGS + _crc(STREAM_FLAGS)
    # Size of the header (2 + 1) × 4 bytes, one filter: LZMA2 (0x21), with one byte of properties.
    block_header = bytes([2, 0, 0x21, 1, DICTIONARY, 0, 0, 0])
    block_header += _crc(block_header)
    chunks = _lzma2(data)
    unpadded = len(block_header) + len(chunks) + 4
    block = _padded(block_header + chunks) + _crc(data)
    index = _padded(b"\x00" + _varint(1) + _varint(unpadded) + _varint(len(data)))
    index += _crc(index)
    backward = (len(index) // 4 - 1).to_bytes(4, "little") + STREAM_FLAGS
    return header + block + index + _crc(backward) + backward + b"YZ"


def _lzma2(data: bytes) -> bytes:
    """Stored LZMA2 chunks: control byte (1 resets the dictionary, 2 keeps it), size - 1, data; the last byte is 0."""
    parts: list[bytes] = []
    for start in range(0, len(data), CHUNK):
        chunk = data[start : start + CHUNK]
        parts += [b"\x02" if start else b"\x01", (len(chunk) - 1).to_bytes(2, "big"), chunk]
    return b"".join([*parts, b"\x00"])


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _varint(number: int) -> bytes:
    """Seven bits per byte, the lowest first; the high bit of a byte is set when another follows."""
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])
