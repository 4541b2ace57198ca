"""Columns computed from a manifest before the check, for expectations about classes and repeats.

A column is added if its sources exist, so manifests of different tasks use this module. Columns about an error in a row
(`unreadable`, `repeat_of`, `nameless`, …) have the reason as their value, and null in valid rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bitbloom.validation.nameless import NAME_NOTHING

if TYPE_CHECKING:
    from bitbloom.config.sections.gate import Gate

HASH_BITS = 64
LATE = 0.2
"""Fraction of the rows, the last ones, whose words are compared with those of the rows before."""


@dataclass(frozen=True)
class Derived:
    """A column: its name, its source columns, and the function of (table, bounds) that computes it."""

    name: str
    sources: tuple[str, ...]
    compute: Callable[[pd.DataFrame, Gate], pd.Series]


def add(table: pd.DataFrame, gate: Gate) -> pd.DataFrame:
    """Add every derived column whose sources exist."""
    columns = {column.name: column.compute(table, gate) for column in COLUMNS if set(column.sources) <= set(table.columns)}
    return table.assign(**columns)


def unreadable(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """Reason why a file cannot be decoded; null for decodable files."""
    reason = table["error"].astype(object).where(table["error"].notna(), "it does not decode")
    return reason.where(table["decodable"].ne(True), None)


def repeat_of(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """Id of the first row (by id) with the same file bytes; null for that row and for unique rows."""
    ordered = table.sort_values("id", kind="stable")
    first = ordered.groupby("sha256")["id"].transform("first").reindex(table.index)
    repeats = ordered.duplicated("sha256").reindex(table.index) & table["sha256"].notna()
    return first.astype(object).where(repeats, None)


def text_repeat_of(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """Id of the first row (by id) with the same words; null for that row and for unique rows."""
    ordered = table.sort_values("id", kind="stable")
    first = ordered.groupby("normalised")["id"].transform("first").reindex(table.index)
    repeats = ordered.duplicated("normalised").reindex(table.index) & table["normalised"].ne("")
    return first.astype(object).where(repeats, None)


def text_conflicts_with(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """All labels of the row's words in the table if there is more than one; else null."""
    labels = table.groupby("normalised")["label"].transform(lambda column: ", ".join(sorted(set(column.dropna().astype(str)))))
    several = table.groupby("normalised")["label"].transform("nunique").gt(1) & table["normalised"].ne("")
    return labels.astype(object).where(several, None)


def new_words(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """Fraction of a row's words that are absent in the first four fifths of the rows (by id), 0 to 1; null in those rows.

    Texts of another time, place or language differ in their words.
    """
    ordered = table.sort_values("id", kind="stable")["normalised"].fillna("").str.split()
    known: set[str] = set()
    found: dict[object, float | None] = {}
    for position, (row, words) in enumerate(ordered.items()):
        late = position >= len(ordered) * (1 - LATE) and words
        found[row] = sum(word not in known for word in words) / len(words) if late else None
        if position < len(ordered) * (1 - LATE):
            known.update(words)
    return pd.Series(found, dtype="float64").reindex(table.index)


def sentence_shared_with(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """First caption of the row (a line of `normalised`) that another row has too, and the first such row (by id); else null."""
    rows = table.sort_values("id", kind="stable")[["id", "normalised"]]
    lines = rows.assign(sentence=rows["normalised"].fillna("").str.split("\n")).explode("sentence")
    lines = lines[lines["sentence"].ne("")].drop_duplicates(["id", "sentence"])
    number = lines.groupby("sentence").cumcount()
    first, second = (lines[number.eq(rank)].set_index("sentence")["id"] for rank in (0, 1))
    other = lines["sentence"].map(first).where(number.gt(0), lines["sentence"].map(second))
    shared = (lines["sentence"] + ", also of " + other).dropna()
    return shared[~shared.index.duplicated()].astype(object).reindex(table.index)


def nameless(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """First caption of the row whose words name nothing (articles, prepositions, "photo" …); else null.

    Captions without words are ignored here; another expectation checks the number of words.
    """
    return table["normalised"].fillna("").map(_nameless).astype(object)


def _nameless(normalised: str) -> str | None:
    return next((line for line in normalised.split("\n") if line and NAME_NOTHING.issuperset(line.split())), None)


def class_rows(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """Number of rows of the row's class; null for missing or undeclared labels, which other expectations check."""
    declared = table["label"].where(table["label"].isin(gate.labels)) if gate.labels is not None else table["label"]
    return declared.map(declared.value_counts()).astype(float)


def imbalance(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """Ratio of the largest class to the row's class, in rows."""
    rows = class_rows(table, gate)
    return rows.rdiv(rows.max())


def shortest_side(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """The smaller of width and height, pixels."""
    return table[["width", "height"]].min(axis="columns")


def longest_side(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """The larger of width and height, pixels."""
    return table[["width", "height"]].max(axis="columns")


def conflicts_with(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """Id of a row with the same pixels (`key`) or nearly the same (`perceptual_hash`) and another label; else null."""
    found = pd.Series(None, index=table.index, dtype=object)
    for column, bits in (("key", 0), ("perceptual_hash", gate.conflict_bits)):
        pattern = rf"[0-9a-f]{{{HASH_BITS // 4},}}"
        usable = table[table[column].fillna("").str.fullmatch(pattern) & table["label"].notna()]
        # Rows with equal hash and label conflict with the same rows: one of them represents all.
        groups = usable.groupby([column, "label"])["id"].min().reset_index()
        hashes = np.array([int(text[: HASH_BITS // 4], 16) for text in groups[column]], dtype=np.uint64)
        labels = pd.factorize(groups["label"])[0]
        others = {
            (groups.loc[i, column], groups.loc[i, "label"]): groups.loc[j, "id"] for i, j in _conflicts(hashes, labels, bits)
        }
        conflict = pd.Series(
            [others.get(pair) for pair in zip(usable[column], usable["label"], strict=True)], usable.index, dtype=object
        )
        found = found.where(found.notna(), conflict.reindex(table.index))
    return found.where(found.notna(), None)


def _conflicts(hashes: NDArray[np.uint64], labels: NDArray[np.intp], bits: int) -> list[tuple[int, int]]:
    """Return pairs (i, j): for every i, the first j with another label and at most `bits` different bits, if any.

    Two hashes that differ in k bits agree in at least one of k + 1 bands of bits, so only rows with an equal band
    are compared (pigeonhole principle).
    """
    partner: dict[int, int] = {}
    for band in np.array_split(np.arange(HASH_BITS, dtype=np.uint64), bits + 1):
        shared = hashes & np.bitwise_or.reduce(np.uint64(1) << band)
        order = np.argsort(shared, kind="stable")
        for run in np.split(order, np.flatnonzero(np.diff(shared[order])) + 1):
            if len(run) > 1:
                _pair(run, hashes, labels, bits, partner)
    return sorted(partner.items())


def _pair(
    run: NDArray[np.intp], hashes: NDArray[np.uint64], labels: NDArray[np.intp], bits: int, partner: dict[int, int]
) -> None:
    """Record the first conflicting row of each row of a run in `partner`."""
    for i in run:
        near = np.bitwise_count(hashes[run] ^ hashes[i]) <= bits
        conflicting = run[near & (labels[run] != labels[i])]
        if len(conflicting):
            first = int(conflicting.min())
            partner[int(i)] = min(first, partner.get(int(i), first))


COLUMNS = (
    Derived("unreadable", ("decodable", "error"), unreadable),
    Derived("repeat_of", ("id", "sha256"), repeat_of),
    Derived("class_rows", ("label",), class_rows),
    Derived("imbalance", ("label",), imbalance),
    Derived("shortest_side", ("width", "height"), shortest_side),
    Derived("longest_side", ("width", "height"), longest_side),
    Derived("text_repeat_of", ("id", "normalised"), text_repeat_of),
    Derived("text_conflicts_with", ("normalised", "label"), text_conflicts_with),
    Derived("sentence_shared_with", ("id", "normalised"), sentence_shared_with),
    Derived("nameless", ("normalised",), nameless),
    Derived("new_words", ("id", "normalised"), new_words),
    Derived("conflicts_with", ("id", "label", "key", "perceptual_hash"), conflicts_with),
)
