"""`tf.train.Example`: the protobuf message of a record, a map from names to lists of bytes, floats or integers.

    Example   { Features features = 1; }
    Features  { map<string, Feature> feature = 1; }
    Feature   { oneof kind { BytesList = 1; FloatList = 2; Int64List = 3; } }    each with `repeated value = 1`

These messages (TensorFlow's `example.proto` and `feature.proto`) have so few fields that their wire format is read here:
varints, and bytes with a length (https://protobuf.dev/programming-guides/encoding). Repeated numbers may be packed or not. As in
protobuf, unknown fields are skipped, and of a repeated name the last one counts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types. The others, groups, are not in use any more."""
BYTES_LIST, FLOAT_LIST, INT64_LIST = 1, 2, 3
LONGEST_VARINT = 10
"""Bytes of a varint of 64 bits."""
NAME, VALUE = 1, 2
"""Fields of an entry of a map."""

Feature = list[bytes] | list[float] | list[int]
"""The values of a feature. An empty list has no type."""


class MalformedError(ValueError):
    """Bytes that are not a message. The text says why."""


def parse(data: bytes) -> dict[str, Feature]:
    """Return the features of a serialised Example. Raises MalformedError if the bytes are not such a message."""
    found: dict[str, Feature] = {}
    for _, features in _messages(data, 1):
        for _, entry in _messages(features, 1):
            name, value = b"", b""
            for field, part in _messages(entry, NAME, VALUE):
                name, value = (part, value) if field == NAME else (name, value + part)  # parts of one message are joined
            found[_text(name)] = _feature(value)
    return found


def serialise(features: Mapping[str, Sequence[bytes] | Sequence[int]]) -> bytes:
    """Return a serialised Example with lists of bytes or integers, in the order of the names."""
    entries = b""
    for name, values in sorted(features.items()):
        kind = BYTES_LIST if values and isinstance(values[0], bytes) else INT64_LIST
        content = b"".join(_field(1, value) for value in values if isinstance(value, bytes))
        if kind == INT64_LIST:
            content = _field(1, b"".join(_varint(value) for value in values if isinstance(value, int)))
        entries += _field(1, _field(NAME, name.encode()) + _field(VALUE, _field(kind, content)))
    return _field(1, entries)


def _feature(data: bytes) -> Feature:
    """Return the values of a Feature: of several kinds, the last one counts; lists of one kind are joined."""
    last, content = 0, b""
    for kind, part in _messages(data, BYTES_LIST, FLOAT_LIST, INT64_LIST):
        last, content = kind, content + part if kind == last else part
    if last == FLOAT_LIST:
        return _floats(content)
    return _integers(content) if last == INT64_LIST else [part for _, part in _messages(content, 1)]


def _floats(data: bytes) -> list[float]:
    found: list[float] = []
    for field, wire, value in _fields(data):
        if field == 1 and wire in (BYTES, FIXED32):
            if len(value) % 4:
                raise MalformedError("a list of floats has a part of one")
            found += struct.unpack(f"<{len(value) // 4}f", value)
    return found


def _integers(data: bytes) -> list[int]:
    found: list[int] = []
    for field, wire, value in _fields(data):
        at = 0
        while field == 1 and wire in (BYTES, VARINT) and at < len(value):
            number, at = _read_varint(value, at)
            found.append(number - (1 << 64) if number >> 63 else number)
    return found


def _messages(data: bytes, *wanted: int) -> Iterator[tuple[int, bytes]]:
    """Iterate over the fields of these numbers that are bytes or messages."""
    return ((field, value) for field, wire, value in _fields(data) if field in wanted and wire == BYTES)


def _fields(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Iterate over number, wire type and content of every field of a message."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        field, wire, start = tag >> 3, tag & 7, at
        if not field or field >> 29:
            raise MalformedError(f"a field has the number {field}")
        if wire == VARINT:
            at = _read_varint(data, at)[1]
        elif wire == BYTES:
            count, start = _read_varint(data, at)
            at = start + count
        elif wire in (FIXED64, FIXED32):
            at += 8 if wire == FIXED64 else 4
        else:
            raise MalformedError(f"field {field} has the wire type {wire}")
        if at > len(data):
            raise MalformedError(f"field {field} has {at - len(data):,} bytes too few")
        yield field, wire, data[start:at]


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a varint, an unsigned integer of 64 bits, and the position after it."""
    number = 0
    for place in range(LONGEST_VARINT):
        if at + place >= len(data):
            raise MalformedError("a number has bytes too few")
        byte = data[at + place]
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number & (1 << 64) - 1, at + place + 1
    raise MalformedError(f"a number has more than {LONGEST_VARINT} bytes")


def _varint(number: int) -> bytes:
    """Return an integer as a varint; a negative one as its two's complement of 64 bits."""
    left, found = number & (1 << 64) - 1, bytearray()
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*found, left])


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | BYTES) + _varint(len(content)) + content


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise MalformedError("the name of a feature is not UTF-8") from error
