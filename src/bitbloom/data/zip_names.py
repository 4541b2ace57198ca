"""Names in zips without the UTF-8 flag, whose encoding the archive does not record.

A name that is valid UTF-8 is UTF-8 (macOS writes such zips). For other names, one encoding is guessed for the whole archive: the
one in which the characters are the most usual ones.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zipfile import ZipInfo

UTF8_FLAG = 0x800
UNICODE_PATH = 0x7075
"""Extra field of Info-ZIP with the name in UTF-8, and the CRC-32 of the name in the header."""

CYRILLIC = frozenset(map(chr, range(0x410, 0x450))) | frozenset("ЁёІіЇїЄє")


@dataclass(frozen=True)
class _Encoding:
    """A candidate. `usual` rates a character by its bytes and its neighbours in the text, 0 to 1."""

    codec: str
    name: str
    usual: Callable[[str, bytes, str, str], float]


def names(members: Sequence[ZipInfo]) -> tuple[list[str], str]:
    """Return the names of the members of a zip, and the name of the encoding if it is guessed, else an empty text."""
    found = [_recorded(member) for member in members]
    unknown = [raw for raw in found if isinstance(raw, bytes)]
    if not unknown:
        return [name for name in found if isinstance(name, str)], ""
    best = _best(unknown)
    decoded = [raw.decode(best.codec) if isinstance(raw, bytes) else raw for raw in found]
    return decoded, best.name


def _recorded(member: ZipInfo) -> str | bytes:
    """Return a member's name as far as the archive defines it, else its bytes."""
    name = member.filename
    if member.flag_bits & UTF8_FLAG or name.isascii():
        return name
    raw = name.encode("cp437")  # zipfile decodes these names as cp437, which has a character for each byte
    try:
        return _unicode_path(member.extra, raw) or raw.decode()
    except UnicodeDecodeError:
        return raw


def _unicode_path(extra: bytes, raw: bytes) -> str:
    """Return the name in Info-ZIP's extra field, if there is one for this name."""
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == UNICODE_PATH and field[1:5] == struct.pack("<I", zlib.crc32(raw)):
            return field[5:].decode()
    return ""


def _best(raw: Sequence[bytes]) -> _Encoding:
    """Return the encoding with the most usual characters, the first one of equals."""
    return max(ENCODINGS, key=lambda encoding: _score(encoding, raw))


def _score(encoding: _Encoding, raw: Sequence[bytes]) -> float:
    """Return the mean rating of the characters beyond ASCII, or -1 if the encoding does not have these bytes."""
    try:
        text = "/".join(name.decode(encoding.codec) for name in raw)
    except UnicodeDecodeError:
        return -1.0
    padded = f"/{text}/"
    rated = [
        encoding.usual(char, char.encode(encoding.codec), before, after)
        for before, char, after in zip(padded, text, padded[2:], strict=False)
        if not char.isascii()
    ]
    return sum(rated) / len(rated)


def _letter(char: str) -> bool:
    return char.isascii() and char.isalpha()


def _rises(before: str, after: str) -> bool:
    return before.islower() and after.isupper()


def _west(char: str, raw: bytes, before: str, after: str) -> float:
    """Rate Latin letters: they stand beside ASCII letters, and no upper case letter follows a lower case one."""
    if not char.isalpha() or char > "\u024f" or char in "ªµº" or _rises(before, char) or _rises(char, after):
        return 0.2 if char in "–—‘’“”…€" else 0.0
    beside = 1.0 if _letter(before) or _letter(after) else 0.4
    return beside if "\xc0" <= char <= "\xff" else 0.6 * beside


def _cyrillic(char: str, raw: bytes, before: str, after: str) -> float:
    """Rate Cyrillic letters: they stand beside each other, and no upper case letter follows a lower case one."""
    if char not in CYRILLIC or _rises(before, char):
        return 0.0
    return 0.97 if before in CYRILLIC or after in CYRILLIC else 0.1


def _east(frequent: Callable[[str, bytes], float]) -> Callable[[str, bytes, str, str], float]:
    """Rate characters of two bytes: they do not stand beside ASCII letters."""

    def usual(char: str, raw: bytes, before: str, after: str) -> float:
        return frequent(char, raw) * (0.4 if _letter(before) or _letter(after) else 1.0)

    return usual


def _chinese(char: str, raw: bytes) -> float:
    """Rate the two levels of GB 2312, which has the frequent characters first."""
    if len(raw) != 2 or raw[1] < 0xA1:
        return 0.2
    return 1.0 if 0xB0 <= raw[0] <= 0xD7 else 0.9 if 0xD8 <= raw[0] <= 0xF7 else 0.2


def _japanese(char: str, raw: bytes) -> float:
    """Rate kana, and the kanji of JIS X 0208."""
    if "\u3041" <= char <= "\u30fe":
        return 1.0
    if len(raw) != 2:
        return 0.1
    return 0.9 if 0x88 <= raw[0] <= 0xEA else 0.1


def _taiwanese(char: str, raw: bytes) -> float:
    """Rate the frequent characters of Big5."""
    return 0.95 if len(raw) == 2 and 0xA4 <= raw[0] <= 0xC6 else 0.2


ENCODINGS = (
    _Encoding("gbk", "GBK", _east(_chinese)),
    _Encoding("cp932", "Shift-JIS", _east(_japanese)),
    _Encoding("cp1252", "cp1252", _west),
    _Encoding("cp437", "cp437", _west),
    _Encoding("cp850", "cp850", lambda *given: 0.85 * _west(*given)),
    _Encoding("cp1251", "cp1251", _cyrillic),
    _Encoding("cp866", "cp866", _cyrillic),
    _Encoding("big5", "Big5", _east(_taiwanese)),
)
"""The last resort is cp437 or cp850, which have a character for each byte."""
