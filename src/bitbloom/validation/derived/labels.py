"""Columns about classes: their sizes and their names."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from bitbloom.config.sections.gate import Gate


def class_rows(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """Number of rows of the row's class; null for missing or undeclared labels, which other expectations check."""
    declared = table["label"].where(table["label"].isin(gate.labels)) if gate.labels is not None else table["label"]
    return declared.map(declared.value_counts()).astype(float)


def imbalance(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """Ratio of the largest class to the row's class, in rows."""
    rows = class_rows(table, gate)
    return rows.rdiv(rows.max())


SHORT = 5
"""Labels of fewer letters are alike only if they differ in case, blanks and punctuation."""
RARE = 0.1
"""Largest ratio of the rows of a misspelt label to those of the right one."""


def label_like(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """A more frequent label that this one seems to mean: they differ in case, blanks, punctuation, plural or one letter.

    Declared labels are meant as they are, and another expectation names those that are not declared.
    """
    if gate.labels is not None:
        return pd.Series(None, index=table.index, dtype=object)
    counts = table["label"].dropna().astype(str).value_counts()
    ordered = sorted(counts.index, key=lambda label: (-counts[label], label))
    meant: dict[str, str] = {}
    same: dict[str, str] = {}
    near: dict[str, str] = {}
    for label in ordered:
        plain = _plain(label)
        other = same.get(_singular(plain)) if plain else None
        if other is None and len(plain) >= SHORT and plain.isalpha():
            close = [near[form] for form in _shortened(plain) if form in near]
            other = next((one for one in close if counts[label] <= RARE * counts[one] and _one_edit(plain, _plain(one))), None)
        if other is not None:
            meant[label] = other
            continue
        same[_singular(plain)] = label
        for form in _shortened(plain):
            near.setdefault(form, label)
    return table["label"].map(lambda label: meant.get(str(label))).astype(object)


def _plain(label: str) -> str:
    folded = unicodedata.normalize("NFKD", label).casefold()
    return "".join(letter for letter in folded if letter.isalnum())


def _singular(plain: str) -> str:
    return plain[:-1] if len(plain) >= SHORT - 1 and plain.endswith("s") else plain


def _shortened(word: str) -> list[str]:
    """The word, and the word without each of its letters: two words with one edit between them share a form."""
    return [word, *(word[:at] + word[at + 1 :] for at in range(len(word)))]


def _one_edit(one: str, other: str) -> bool:
    """Whether one insertion, deletion, substitution or exchange of neighbours leads from a word to the other."""
    if len(one) > len(other):
        one, other = other, one
    at = next((at for at, (left, right) in enumerate(zip(one, other, strict=False)) if left != right), len(one))
    if len(one) < len(other):
        return one[at:] == other[at + 1 :]
    swapped = one[at : at + 2] == other[at : at + 2][::-1] and one[at + 2 :] == other[at + 2 :]
    return swapped or one[at + 1 :] == other[at + 1 :]
