"""Labels that people mean as one."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from bitbloom.core.errors import BitBloomError

INVISIBLE = {"Cf", "Cc"}
"""Unicode categories of characters without a shape: zero-width blanks, joiners, controls."""


def check(labels: Iterable[str], where: str) -> None:
    """Check that no two labels differ in case, blanks or Unicode form only. Raises BitBloomError that starts with `where`."""
    seen: dict[str, str] = {}
    for label in sorted(set(labels)):
        other = seen.setdefault(_plain(label), label)
        if other != label:
            raise BitBloomError(
                f"{where}: the classes {_shown(other, label)} differ only in {_difference(other, label)}: give both one name"
            )


def _plain(label: str) -> str:
    """Return a label without case, blanks and invisible characters, in Unicode NFKC."""
    return _visible(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold()))


def _visible(label: str) -> str:
    return "".join(char for char in label if not char.isspace() and unicodedata.category(char) not in INVISIBLE)


def _difference(one: str, other: str) -> str:
    """Name the difference of two labels that are one."""
    if unicodedata.normalize("NFKC", one) == unicodedata.normalize("NFKC", other):
        return "Unicode form"
    if one.casefold() == other.casefold():
        return "case"
    return "blanks" if _visible(one) == _visible(other) else "case, blanks or Unicode form"


def _shown(one: str, other: str) -> str:
    """Quote two labels; in ASCII if they look the same."""
    alike = _visible(unicodedata.normalize("NFKC", one)) == _visible(unicodedata.normalize("NFKC", other))
    return f"{one!a} and {other!a}" if alike else f"{one!r} and {other!r}"
