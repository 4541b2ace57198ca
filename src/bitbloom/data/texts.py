"""Short texts as people type them: cleaned for the model, normalised for comparison, described for the gate.

Training, evaluation and the service all clean by `clean`. It needs neither torch nor a tokenizer.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable
from urllib.parse import unquote

import ftfy

URL, MENTION = "URL", "USER"
"""What stands for an address and for a name: never longer than twice what it replaces."""
MOST_PASSES = 64
"""Each pass undoes a whole level of quoting: nobody has typed so many."""

_URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_MENTION = re.compile(r"(?<!\w)@\w+")
_SPACES = re.compile(r"\s+")
_NOT_WORDS = re.compile(r"[^\w]+")
_FTFY = ftfy.TextFixerConfig(fix_latin_ligatures=False, normalization="NFC", max_decode_length=10_000)
"""Ligatures stay: ﬃ would become three letters."""


def clean(text: str) -> str:
    """Entities, mojibake, addresses, names of users and spaces put in order; emoji stay.

    Applied until nothing changes, so cleaning twice is cleaning once. At most twice as long as `text`.
    """
    return _until_settled(_once, text)


def clean_keyword(keyword: str) -> str:
    """A keyword, which is percent-encoded in Kaggle's files: `body%20bag` → `body bag`."""
    return _until_settled(lambda text: _once(unquote(text)), keyword)


def _until_settled(step: Callable[[str], str], text: str) -> str:
    for _ in range(MOST_PASSES):
        done = step(text)
        if done == text:
            break
        text = done
    return text


def _once(text: str) -> str:
    text = ftfy.fix_text(text, _FTFY)
    text = _MENTION.sub(MENTION, _URL.sub(URL, text))
    return _SPACES.sub(" ", "".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in text)).strip()


def normalised(text: str) -> str:
    """The words of a text alone: without case, punctuation, addresses and names of users. Repeats have it in common."""
    words = _NOT_WORDS.sub(" ", clean(text)).split()
    return " ".join(word.casefold() for word in words if word not in (URL, MENTION))


def key(text: str) -> str:
    """SHA-256 of the normalised text, or of the text itself where no word is left: 64 hex digits."""
    return hashlib.sha256((normalised(text) or text).encode()).hexdigest()


def joined(text: str, keyword: str, location: str) -> str:
    """What the model reads of a tweet: keyword, text and place, each cleaned."""
    parts = (clean_keyword(keyword), clean(text), clean(location))
    return " | ".join(part for part in parts if part)


def ascii_share(text: str) -> float:
    """Part of the letters that are ASCII, 0 to 1; 1 where there are no letters. A plain measure of the language's script."""
    letters = [letter for letter in text if letter.isalpha()]
    return sum(letter.isascii() for letter in letters) / len(letters) if letters else 1.0
