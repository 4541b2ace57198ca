"""Columns about photos that look alike, by their perceptual hashes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bitbloom.config.sections.gate import Gate

HASH_BITS = 64


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


def near_duplicate_of(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """Id of the first row (by id) that looks nearly the same, with other file bytes; else null.

    Two photos look nearly the same if their perceptual hashes differ in at most `gate.near_bits` bits, and the cells of their
    thumbnails in at most `gate.near_difference` of 16 levels on average.
    """
    found = pd.Series(None, index=table.index, dtype=object)
    if gate.near_bits is None:
        return found
    pattern = rf"[0-9a-f]{{{HASH_BITS // 4}}}"
    usable = table[table["perceptual_hash"].fillna("").str.fullmatch(pattern) & table["thumbnail"].fillna("").ne("")]
    usable = usable.sort_values("id", kind="stable").drop_duplicates("sha256")
    hashes = np.array([int(text, 16) for text in usable["perceptual_hash"]], dtype=np.uint64)
    thumbnails = _levels(usable["thumbnail"])
    partner = np.full(len(hashes), len(hashes), np.int64)
    for first, second in _near_pairs(hashes, gate.near_bits):
        difference = np.abs(thumbnails[first] - thumbnails[second]).mean(axis=1, dtype=np.float64)
        close = difference <= gate.near_difference
        np.minimum.at(partner, second[close], first[close])
    ids = [*usable["id"], None]
    return pd.Series([ids[position] for position in partner], usable.index, dtype=object).reindex(table.index)


def _levels(thumbnails: pd.Series) -> NDArray[np.int16]:
    """Return the digits of thumbnails of equal length as numbers, int16 [n, cells]."""
    digits = np.frombuffer("".join(thumbnails).encode(), np.uint8).astype(np.int16)
    values = np.where(digits >= ord("a"), digits - ord("a") + 10, digits - ord("0"))
    return values.reshape(len(thumbnails), -1)


def _near_pairs(hashes: NDArray[np.uint64], bits: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Iterate over pairs i < j of hashes with at most `bits` different bits, in arrays; a pair can occur more than once.

    Of `bits` + 2 bands of bits, two at least are equal, so only hashes with two equal bands are compared: each with the next ones
    in the order of these bands, one distance at a time.
    """
    bands = [
        np.bitwise_or.reduce(np.uint64(1) << band) for band in np.array_split(np.arange(HASH_BITS, dtype=np.uint64), bits + 2)
    ]
    for one, other in combinations(bands, 2):
        shared = hashes & (one | other)
        order = np.argsort(shared, kind="stable")
        starts, distance = np.arange(len(order) - 1), 1
        while len(starts := starts[starts + distance < len(order)]):
            starts = starts[shared[order[starts]] == shared[order[starts + distance]]]
            first, second = order[starts], order[starts + distance]
            near = np.bitwise_count(hashes[first] ^ hashes[second]) <= bits
            if near.any():
                yield first[near], second[near]
            distance += 1
