"""The framing of a TFRecord file: length, CRC of the length, data, CRC of the data, for each record.

    8 bytes   length of the data, little-endian
    4 bytes   masked CRC-32C of these 8 bytes
    n bytes   the data
    4 bytes   masked CRC-32C of the data

The format is TensorFlow's `tensorflow/core/lib/io/record_writer.h`; a CRC is rotated right by 15 bits, and a constant is added.
A reader holds one record at a time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import google_crc32c

from bitbloom.core.errors import BitBloomError

LENGTH, CRC = struct.Struct("<Q"), struct.Struct("<I")
HEAD = LENGTH.size + CRC.size
MASK_DELTA = 0xA282EAD8
LARGEST = 64 << 20
"""Largest record, bytes: a photo has less than one of them."""
WHOLE = "download the file again, or unpack it again"


@dataclass(frozen=True)
class Record:
    """A record: its number from 0, the offset of its first byte in the file, and its data."""

    number: int
    offset: int
    data: bytes


def masked_crc(data: bytes) -> int:
    """Return the masked CRC-32C of bytes, as an unsigned integer of 32 bits."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFFFFFF


def frame(data: bytes) -> bytes:
    """Return the bytes of a record with this data."""
    length = LENGTH.pack(len(data))
    return length + CRC.pack(masked_crc(length)) + data + CRC.pack(masked_crc(data))


def records(file: Path) -> Iterator[Record]:
    """Iterate over the records of a file, each checked against both of its CRCs.

    Raises:
        BitBloomError: the file ends inside a record, or a CRC is wrong. The message names file, record and offset.
    """
    size, number = file.stat().st_size, 0
    with file.open("rb") as stream:
        while (offset := stream.tell()) < size:
            yield Record(number, offset, _data(stream, file, f"record {number} at byte {offset:,}", size - offset))
            number += 1


def _data(stream: BinaryIO, file: Path, where: str, left: int) -> bytes:
    """Read one record, of a file with `left` more bytes, and return its data."""
    if left < HEAD:
        raise BitBloomError(f"{file}: it ends in the header of {where}: {WHOLE}")
    length, crc = stream.read(LENGTH.size), stream.read(CRC.size)
    if CRC.unpack(crc)[0] != masked_crc(length):
        raise BitBloomError(f"{file}: the header of {where} is damaged (CRC-32C), so the records after it are lost: {WHOLE}")
    count: int = LENGTH.unpack(length)[0]
    if count > LARGEST:
        raise BitBloomError(f"{file}: {where} has {count:,} bytes, more than the limit of {LARGEST:,}: is it a shard of photos?")
    if left < HEAD + count + CRC.size:
        raise BitBloomError(f"{file}: it ends in {where}, which has {count:,} bytes: {WHOLE}")
    data, crc = stream.read(count), stream.read(CRC.size)
    if len(data) < count or len(crc) < CRC.size:
        raise BitBloomError(f"{file}: it ends in {where}: it was shortened while it was read")
    if CRC.unpack(crc)[0] != masked_crc(data):
        raise BitBloomError(f"{file}: the data of {where} are damaged (CRC-32C): {WHOLE}")
    return data
