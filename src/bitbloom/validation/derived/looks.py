"""Columns about photos that look alike, by their perceptual hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bitbloom.data import hamming

if TYPE_CHECKING:
    from bitbloom.config.sections.gate import Gate

HASH_BITS = 64


def conflicts_with(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """Id of a row with the same pixels (`key`) or nearly the same (`perceptual_hash`) and another label; else null."""
    found = pd.Series(None, index=table.index, dtype=object)
    for column, bits in (("key", 0), ("perceptual_hash", gate.conflict_bits)):
        conflict = _conflicting(table[[column, "label", "id"]], column, bits)
        found = found.where(found.notna(), conflict.reindex(table.index))
    return found.where(found.notna(), None)


def _conflicting(table: pd.DataFrame, column: str, bits: int) -> pd.Series:
    """Id of the conflicting row, for the rows that look like another one."""
    pattern = rf"[0-9a-f]{{{HASH_BITS // 4},}}"
    usable = table[table[column].fillna("").str.fullmatch(pattern) & table["label"].notna()]
    usable = usable[hamming.near_another(_hashes(usable[column]), bits)]
    # Rows with equal hash and label conflict with the same rows: one of them represents all.
    groups = usable.groupby([column, "label"])["id"].min().reset_index()
    labels = pd.factorize(groups["label"])[0]
    others = {
        (groups.loc[i, column], groups.loc[i, "label"]): groups.loc[j, "id"]
        for i, j in _conflicts(_hashes(groups[column]), labels, bits)
    }
    pairs = zip(usable[column], usable["label"], strict=True)
    return pd.Series([others.get(pair) for pair in pairs], usable.index, dtype=object)


def _hashes(texts: pd.Series) -> NDArray[np.uint64]:
    """The first 64 bits of hexadecimal texts."""
    digits = "".join([text[: HASH_BITS // 4] for text in texts])
    return np.frombuffer(bytes.fromhex(digits), ">u8").astype(np.uint64)


def _conflicts(hashes: NDArray[np.uint64], labels: NDArray[np.intp], bits: int) -> list[tuple[int, int]]:
    """Return pairs (i, j): for every i, the first j with another label and at most `bits` different bits, if any."""
    none = len(hashes)
    partner = np.full(none, none)
    for first, second in hamming.pairs(hashes, bits):
        differ = labels[first] != labels[second]
        np.minimum.at(partner, first[differ], second[differ])
        np.minimum.at(partner, second[differ], first[differ])
    return [(i, int(partner[i])) for i in np.flatnonzero(partner < none).tolist()]


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
    hashes = _hashes(usable["perceptual_hash"])
    thumbnails = _levels(usable["thumbnail"])
    partner = np.full(len(hashes), len(hashes), np.int64)
    for first, second in hamming.pairs(hashes, gate.near_bits):
        difference = np.abs(thumbnails[first].astype(np.int16) - thumbnails[second]).mean(axis=1, dtype=np.float64)
        close = difference <= gate.near_difference
        np.minimum.at(partner, second[close], first[close])
    ids = [*usable["id"], None]
    return pd.Series([ids[position] for position in partner], usable.index, dtype=object).reindex(table.index)


def _levels(thumbnails: pd.Series) -> NDArray[np.int8]:
    """Return the hexadecimal digits of thumbnails of equal length as numbers, int8 [n, cells]."""
    values = np.zeros(256, np.int8)
    values[np.frombuffer(b"0123456789abcdef", np.uint8)] = range(16)
    return values[np.frombuffer("".join(thumbnails).encode(), np.uint8)].reshape(len(thumbnails), -1)
