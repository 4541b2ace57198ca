"""Numbers of a text: its length, its characters, and signs of its language and its topic."""

from __future__ import annotations

import re

from bitbloom.data import texts

DESCRIPTIONS = {
    "characters": "number of characters after cleaning",
    "words": "number of words",
    "word_length": "mean number of characters in a word",
    "upper": "fraction of the letters in upper case",
    "digits": "fraction of the characters that are digits",
    "foreign": "fraction of the letters that are not ASCII",
    "emoji": "number of emoji",
    "links": "number of addresses",
    "mentions": "number of user names",
    "hashtags": "number of words that start with #",
    "marks": "fraction of the characters that are punctuation",
    "shouts": "number of exclamation marks",
    "common": "fraction of the words that are common in English",
    "repeats": "fraction of the words that occurred before in the text",
}
"""The numbers and their meaning."""
NAMES = tuple(DESCRIPTIONS)
_COMMON = """
a about all an and are as at be been but by can for from had has have he her his how i if in into is it its
just like me more my no not now of on one or our out over she so some than that the their them then there they
this to up was we were what when which who will with would you your
"""
COMMON = frozenset(_COMMON.split())
"""Words without a topic: a text in English has many of them."""

_EMOJI = re.compile("[\U0001f1e6-\U0001faff\u2600-\u27bf\u2b50\u2b55]")
_WORD = re.compile(r"[^\W_](?:[\w']*[^\W_])?")


def describe(text: str) -> dict[str, float]:
    """Describe a text. It is cleaned first, as for the model, so a text and its cleaned form have equal numbers."""
    cleaned = texts.clean(text)
    parts = cleaned.split()
    words = [word.casefold() for word in _WORD.findall(cleaned) if word not in (texts.URL, texts.MENTION)]
    letters = [letter for letter in cleaned if letter.isalpha()]
    return {
        "characters": float(len(cleaned)),
        "words": float(len(words)),
        "word_length": _fraction(sum(map(len, words)), len(words)),
        "upper": _fraction(sum(letter.isupper() for letter in letters), len(letters)),
        "digits": _fraction(sum(letter.isdigit() for letter in cleaned), len(cleaned)),
        "foreign": _fraction(sum(not letter.isascii() for letter in letters), len(letters)),
        "emoji": float(len(_EMOJI.findall(cleaned))),
        "links": float(sum(part == texts.URL for part in parts)),
        "mentions": float(sum(part.startswith(texts.MENTION) for part in parts)),
        "hashtags": float(sum(part.startswith("#") for part in parts)),
        "marks": _fraction(sum(not (sign.isalnum() or sign.isspace()) for sign in cleaned), len(cleaned)),
        "shouts": float(cleaned.count("!")),
        "common": _fraction(sum(word in COMMON for word in words), len(words)),
        "repeats": _fraction(len(words) - len(set(words)), len(words)),
    }


def _fraction(some: int, everything: int) -> float:
    return some / everything if everything else 0.0
