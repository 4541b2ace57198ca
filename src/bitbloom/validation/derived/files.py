"""Columns about files: those that cannot be decoded, and repeats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from bitbloom.config.sections.gate import Gate


def unreadable(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """Reason why a file cannot be decoded; null for decodable files."""
    reason = table["error"].astype(object).where(table["error"].notna(), "it does not decode")
    return reason.where(table["decodable"].ne(True), None)


def repeat_of(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """Id of the first row (by id) with the same file bytes; null for that row and for unique rows."""
    several = table[table["sha256"].notna() & table.duplicated("sha256", keep=False)]
    ordered = several.sort_values("id", kind="stable")
    first = ordered.groupby("sha256")["id"].transform("first")
    repeats = first[ordered.duplicated("sha256")].astype(object).reindex(table.index)
    return repeats.where(repeats.notna(), None)


SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "AVIF": (".avif", ".avifs"),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
"""Format of an image → usual suffixes of its files."""
KNOWN = tuple(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)


def wrong_suffix(table: pd.DataFrame, gate: Gate) -> pd.Series:
    """Format of a file whose name has the suffix of another format; null where they agree, and for other suffixes."""
    suffix = table["path"].fillna("").astype(str).str.lower().str.extract(r"(\.[a-z0-9]+)$", expand=False).fillna("")
    pairs = pd.DataFrame({"format": table["format"].fillna(""), "suffix": suffix})
    agree = pairs.drop_duplicates()
    wrong = {
        (kind, ending)
        for kind, ending in zip(agree["format"], agree["suffix"], strict=True)
        if kind in SUFFIXES and ending in KNOWN and ending not in SUFFIXES[kind]
    }
    named = [kind if (kind, ending) in wrong else None for kind, ending in zip(pairs["format"], pairs["suffix"], strict=True)]
    return pd.Series(named, table.index, dtype=object)
