"""Names in zips without the UTF-8 flag, whose encoding the archive does not record.

Names that are all valid UTF-8 are UTF-8 (macOS writes such zips), unless they are so short that they are rather words in another
encoding. For other names, one encoding is guessed for the whole archive: the one in which the characters are the most usual ones.
If two readings of short names are equally usual, only the user knows.
"""

from __future__ import annotations

import re
import struct
import unicodedata
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zipfile import ZipInfo

UTF8_FLAG = 0x800
UNICODE_PATH = 0x7075
"""Extra field of Info-ZIP with the name in UTF-8, and the CRC-32 of the name in the header."""

CYRILLIC = frozenset(map(chr, range(0x410, 0x450))) | frozenset("ЁёІіЇїЄє")


CYRILLIC_WORD = re.compile(r"[А-яЁёІіЇїЄє]+")
CYRILLIC_VOWELS = frozenset("аеёиоуыэюяіїє")
COMMON = re.compile(
    r"[\u00c0-\u017f\u0300-\u036f\u0386-\u03ce\u0401-\u045f\u0490\u0491\u05d0-\u05ea\u0621-\u0652]"  # Latin, Greek, Cyrillic, …
)
"""Letters and accents of two bytes in UTF-8 that occur in names."""
HANGUL = frozenset(
    "가각간강개거건것게겨결경계고공과관광교구국군권그금기김길꽃나날남내너네녀노눈는능니다단달당대더도동되두드들등디딸때라람래레려력련"
    "령로록론료루류르른를름리린림립마만말매머면명모목무문물미민바박반발방배백벚별병보복본봄부북분불비빛사산살상새색생서석선설성세소"
    "속손송수술스습시식신실심아악안알암애야약양어언여역연열영예오온와완외요용우운울원월위유육은을음의이인일임입잎자작잔잡장재저적전"
    "절점정제조족좋주준중지직진질집차참창책처천철청체초추출충치카코크큰타터토통투트파판패팬편평포표품풍프피하학한할함합해행향허현형호홍화"
    "활황회후흥희히"
)
"""Frequent syllables of Korean; the other 2,000 syllables of its encoding are rare."""
SHORT = 8
"""Largest number of characters whose encoding can be unclear."""
UNCLEAR = 0.04
"""Smallest difference of the ratings of two readings of a short name."""


@dataclass(frozen=True)
class _Encoding:
    """A candidate. `usual` rates a character by its bytes and its neighbours in the text, 0 to 1; `words` rates the text."""

    codec: str
    name: str
    usual: Callable[[str, bytes, str, str], float]
    words: Callable[[str], float] = lambda text: 1.0


def names(members: Sequence[ZipInfo]) -> tuple[list[str], str]:
    """Return the names of the members of a zip, and the name of the encoding if it is guessed, else an empty text.

    Raises:
        ValueError: the names are short, and two encodings are equally likely.
    """
    found = [_recorded(member) for member in members]
    best = _best([raw for raw in found if isinstance(raw, bytes)])
    decoded = [_decoded(name, best) if isinstance(name, bytes) else name for name in found]
    return decoded, "" if best is UTF_8 else best.name


def _recorded(member: ZipInfo) -> str | bytes:
    """Return a member's name as far as the archive defines it, else its bytes."""
    name = member.filename
    if member.flag_bits & UTF8_FLAG or name.isascii():
        return name
    raw = name.encode("cp437")  # zipfile decodes these names as cp437, which has a character for each byte
    return _unicode_path(member.extra, raw) or raw


def _utf_8(raw: bytes) -> str:
    """Return the text of a name in UTF-8, or an empty text if it is not valid."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return ""


def _is_certain(text: str) -> bool:
    return max(text, default="") > "\u07ff"


def _decoded(raw: bytes, encoding: _Encoding) -> str:
    """Return a name in an encoding. Characters of three bytes in UTF-8 are no accident: such a name is UTF-8 in any archive."""
    text = _utf_8(raw)
    return text if _is_certain(text) else raw.decode(encoding.codec)


def _unicode_path(extra: bytes, raw: bytes) -> str:
    """Return the name in Info-ZIP's extra field, if there is one for this name."""
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == UNICODE_PATH and field[1:5] == struct.pack("<I", zlib.crc32(raw)):
            return field[5:].decode()
    return ""


def _best(raw: Sequence[bytes]) -> _Encoding:
    """Return UTF-8 if nothing contradicts it, else the encoding with the most usual characters, the first one of equals."""
    rest = [name for name in raw if not _is_certain(_utf_8(name))]
    if all(map(_utf_8, raw)) and len(rest) < max(1, len(raw)):
        return UTF_8
    parts = sorted({re.sub(rb"[0-9]+", b"", part) for name in rest for part in name.split(b"/") if not part.isascii()})
    texts = {encoding: _text(encoding, parts) for encoding in ENCODINGS}
    scores = {encoding: _score(encoding, text) for encoding, text in texts.items() if text}
    best, *others = sorted(scores, key=lambda encoding: -scores[encoding])
    characters = {encoding: sum(not char.isascii() for char in texts[encoding]) for encoding in scores}
    if UTF_8 in scores and (best is UTF_8 or characters[UTF_8] > SHORT):
        return UTF_8
    rivals = [other for other in others if texts[other] != texts[best] and scores[best] - scores[other] < UNCLEAR]
    if UTF_8 in scores and scores[UTF_8] >= LONE:
        rivals.insert(0, UTF_8)
    if rivals and characters[best] <= SHORT:
        raise ValueError(f"its names can be {best.name} ('{texts[best]}') or {rivals[0].name} ('{texts[rivals[0]]}')")
    return best


def _text(encoding: _Encoding, parts: Sequence[bytes]) -> str:
    """Return the parts of names in an encoding, or an empty text if it does not have these bytes."""
    try:
        return "/".join(part.decode(encoding.codec) for part in parts)
    except UnicodeDecodeError:
        return ""


def _score(encoding: _Encoding, text: str) -> float:
    """Return the mean rating of the characters beyond ASCII."""
    padded = f"/{text}/"
    rated = [
        encoding.usual(char, char.encode(encoding.codec), before, after)
        for before, char, after in zip(padded, text, padded[2:], strict=False)
        if not char.isascii()
    ]
    return encoding.words(text) * sum(rated) / len(rated)


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
    if before not in CYRILLIC and after not in CYRILLIC:
        return 0.1
    return 0.85 if char in "ЁёъфющэЪЫЬ" else 0.97  # rare letters


def _cyrillic_words(text: str) -> float:
    """Rate Cyrillic words: they have a vowel, and not only capitals, unlike other scripts that are read as Cyrillic."""
    words = CYRILLIC_WORD.findall(text)
    good = sum(not word.isupper() and bool(CYRILLIC_VOWELS & set(word.lower())) for word in words)
    return 0.8 + 0.2 * good / max(1, len(words))


def _unicode(char: str, raw: bytes, before: str, after: str) -> float:
    """Rate characters of two bytes in UTF-8: letters beside letters. A lone one is rather a character of another encoding."""
    if not COMMON.fullmatch(char):
        return 0.0
    if unicodedata.combining(char):
        return 1.0 if before.isalpha() else 0.0
    near = _letter if char <= "\u017f" else COMMON.fullmatch
    return 1.0 if near(before) or near(after) else LONE


def _korean(char: str, raw: bytes) -> float:
    """Rate frequent syllables above the ideograms that have the same bytes in GBK, and rare ones below."""
    return 1.25 if char in HANGUL else 0.5 if len(raw) == 2 and 0xB0 <= raw[0] <= 0xC8 and raw[1] >= 0xA1 else 0.1


def _east(frequent: Callable[[str, bytes], float]) -> Callable[[str, bytes, str, str], float]:
    """Rate characters of two bytes: they do seldom stand beside ASCII letters."""

    def usual(char: str, raw: bytes, before: str, after: str) -> float:
        return frequent(char, raw) * (0.7 if _letter(before) or _letter(after) else 1.0)

    return usual


def _chinese(char: str, raw: bytes) -> float:
    """Rate the two levels of GB 2312, which has the frequent characters first."""
    if len(raw) != 2 or raw[1] < 0xA1:
        return 0.2
    return 1.0 if 0xB0 <= raw[0] <= 0xD7 else 0.8 if 0xD8 <= raw[0] <= 0xF7 else 0.2


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


LONE = 0.4
"""Rating of a letter in UTF-8 without a letter beside it."""
UTF_8 = _Encoding("utf-8", "UTF-8", _unicode)
ENCODINGS = (
    UTF_8,
    _Encoding("gbk", "GBK", _east(_chinese)),
    _Encoding("cp949", "cp949", _east(_korean)),
    _Encoding("cp932", "Shift-JIS", _east(_japanese)),
    _Encoding("cp1252", "cp1252", _west),
    _Encoding("cp437", "cp437", _west),
    _Encoding("cp850", "cp850", lambda *given: 0.85 * _west(*given)),
    _Encoding("cp1251", "cp1251", _cyrillic, _cyrillic_words),
    _Encoding("cp866", "cp866", _cyrillic, _cyrillic_words),
    _Encoding("big5", "Big5", _east(_taiwanese)),
)
"""The last resort is cp437 or cp850, which have a character for each byte."""
