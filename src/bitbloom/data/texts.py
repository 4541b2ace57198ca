"""Short texts: cleaning for the model, and normalisation for comparison.

Training, evaluation and the service all use `clean`, which needs neither torch nor a tokenizer.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable
from urllib.parse import unquote

import ftfy

URL, MENTION = "URL", "USER"
"""Replacements of addresses and user names: at most twice as long as the original."""
MOST_PASSES = 64
"""Largest number of passes. Each pass removes a level of quoting; real texts have far fewer levels."""

_URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_MENTION = re.compile(r"(?<!\w)@\w+")
_SPACES = re.compile(r"\s+")
_NOT_WORDS = re.compile(r"[^\w]+")
_FTFY = ftfy.TextFixerConfig(fix_latin_ligatures=False, normalization="NFC", max_decode_length=10_000)
"""Ligatures are kept: ﬃ would become three letters."""


def clean(text: str) -> str:
    """Normalise entities, mojibake, addresses, user names and spaces; keep emoji.

    Cleaning repeats until nothing changes, so it is idempotent. The result is at most twice as long as `text`.
    """
    return _to_fixpoint(_once, text)


def clean_keyword(keyword: str) -> str:
    """Clean a keyword, which is percent-encoded in Kaggle's files: `body%20bag` → `body bag`."""
    return _to_fixpoint(lambda text: _once(unquote(text)), keyword)


def _to_fixpoint(step: Callable[[str], str], text: str) -> str:
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
    """Return the words of a text without case, punctuation, addresses and user names; equal for repeats."""
    words = _NOT_WORDS.sub(" ", clean(text)).split()
    return " ".join(word.casefold() for word in words if word not in (URL, MENTION))


def key(text: str) -> str:
    """Return the SHA-256 of the normalised text, or of the text itself if it has no words: 64 hex digits."""
    return hashlib.sha256((normalised(text) or text).encode()).hexdigest()


def joined(text: str, keyword: str, location: str) -> str:
    """Return the model's input for a tweet: keyword, text and location, each cleaned."""
    parts = (clean_keyword(keyword), clean(text), clean(location))
    return " | ".join(part for part in parts if part)


def ascii_share(text: str) -> float:
    """Return the fraction of letters that are ASCII, 0 to 1; 1 without letters. It measures the script of the language."""
    letters = [letter for letter in text if letter.isalpha()]
    return sum(letter.isascii() for letter in letters) / len(letters) if letters else 1.0
