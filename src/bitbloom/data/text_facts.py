"""Facts about a short text for the manifest, from which the gate finds texts that are damaged or are no language.

Each fact is a fragment of the text as evidence, and is empty for a good text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bitbloom.data import languages, texts

REPLACED = re.compile("[\x80-\x9f]|[\ue000-\uf8ff]|\u00ef\u00bf\u00bd|[\u00c2\u00ce\u00d0][\u00a0-\u00bf]")
"""Controls, private characters, and UTF-8 that was read as another encoding; the expectation `mojibake` finds the usual forms."""
MACINTOSH = re.compile("\u2030\u00db|\u00db[\u00aa\u00d2\u00d3\u00cf]|\u00e5\u00ca|\u00cc\u00a9|\u00ab\u00f4")
"""Punctuation of Windows that was read as Mac OS Roman: `donÛªt`."""
LOST = re.compile(r"\b[A-Za-z]{2,}\?(?:t|s|re|ve|ll|m|d)\b|\b[A-Za-z]*[a-z]\?[a-z]+\?[a-z]+\b")
"""An apostrophe or accented letters that became a question mark: `don?t`, `d?j?vu`."""
ESCAPED = re.compile(
    r"\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|%[0-9A-F]{2}\S*%[0-9A-F]{2}|&(?:#\d{2,5}|#x[0-9a-fA-F]{2,5}|[a-z]{2,6});|\\n\w|=[0-9A-F]{2}=[0-9A-F]{2}"
)
"""Escapes of JSON, of Python, of addresses, of HTML and of e-mail."""
MIXED = re.compile(r"[A-Za-z][\u0370-\u03ff\u0400-\u04ff]|[\u0370-\u03ff\u0400-\u04ff][A-Za-z]")
"""A word with letters of two scripts that look alike."""
INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
"""Characters without a shape. The joiner of emoji is not one of them."""
MARKUP = re.compile(
    r"</?(?:p|br|b|i|a|em|div|span|strong|img|h[1-6]|li|ul|td|tr|table|script|style)\b[^<>]*>|\[/?(?:b|i|url|img|quote)(?:=[^\]]*)?\]|<!--|```",
    re.IGNORECASE,
)
DATA = re.compile(
    r"[{,]\s*\"\w+\"\s*:|\{\{.*?\}\}|\$\{\w+\}|%\(\w+\)s|<\w+_\w+>|\bnull,|Traceback \(most recent|\bSELECT .{1,80} FROM\b"
)
"""JSON, placeholders of templates, messages of programs."""
PLACEHOLDER = re.compile(
    r"^\W*(?:n/?a|nan|null|none|todo|tbd|test|unknown|untitled|undefined|deleted|removed|xxx+"
    r"|no (?:description|caption|text|title|comment)(?: (?:yet|available|given|provided))?"
    r"|(?:description|caption|text|title) (?:here|goes here|missing)"
    r"|(?:enter|insert|write|add) (?:a |your )?(?:description|caption|text)(?: here)?)\W*$|lorem ipsum",
    re.IGNORECASE,
)
FILE_NAME = re.compile(
    r"^\W*(?:[\w-]+\.(?:jpe?g|png|gif|webp|bmp|tiff?|heic)|(?:IMG|DSC|DSCN|DSCF|PXL|MVIMG)[_-]?\d{3,}\w*)\W*$", re.IGNORECASE
)
STUTTER = re.compile(r"\b(?!USER\b|URL\b)(\w+)(?:\W+\1\b){4}|([^\W\d_])\2{14}", re.IGNORECASE)
"""A word five times in a row, a letter fifteen times."""
ENCODED = re.compile(r"(?<![\w#@/+=.])(?=\w*\d)(?=\w*[a-z])(?=\w*[A-Z])[A-Za-z0-9]{24,}")
"""Base64, keys and digests: long runs of digits and letters of both cases."""
PRIVATE = re.compile(
    r"[\w.+-]+@[\w-]+\.[a-z]{2,}|(?<![\w/.-])(?:\+\d{1,3}[ .-]?)?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\w-])"
    r"|(?<![\w/.-])(?:\d{4}[ -]){3}\d{4}(?![\w-])",
    re.IGNORECASE,
)
"""Addresses of e-mail, numbers of telephones and of cards."""
DAMAGES = (REPLACED, MACINTOSH, LOST, ESCAPED, MIXED)
RESIDUES = (MARKUP, DATA, PLACEHOLDER, FILE_NAME, STUTTER, ENCODED)
AROUND = 12
"""Characters of the text on each side of the evidence."""


def describe(raw: Iterable[str]) -> dict[str, object]:
    """Return the facts of a sample's texts, as the source gives them; evidence is from the first text that has any.

    Returns:
        language: a guess (see `languages.guess`), of the first text that is not English, else of the first one.
        damage: a wrong decoding that cleaning cannot repair.
        invisible: characters without a shape, as their code points.
        residue: markup, data, a placeholder, a file name, or repetition.
        private: an address of e-mail, a number of a telephone or a card.
    """
    given = list(raw)
    cleaned = [texts.clean(text) for text in given]
    guesses = [languages.guess(text) for text in cleaned]
    foreign = (guess for guess in guesses if guess not in ("", languages.ENGLISH))
    return {
        "language": next(foreign, next(iter(guesses), "")),
        "damage": _first(DAMAGES, cleaned),
        "invisible": next((f"U+{ord(found[0]):04X}" for text in given if (found := INVISIBLE.search(text))), ""),
        "residue": _first(RESIDUES, cleaned),
        "private": _first((PRIVATE,), given),
    }


def _first(patterns: Iterable[re.Pattern[str]], given: Iterable[str]) -> str:
    """Return the first match of a pattern in the texts with its surroundings, or an empty text."""
    patterns = tuple(patterns)
    for text in given:
        for pattern in patterns:
            if found := pattern.search(text):
                return text[max(0, found.start() - AROUND) : found.end() + AROUND]
    return ""
