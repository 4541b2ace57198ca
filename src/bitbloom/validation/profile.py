"""The accepted profile of a target's data, `expectations/profiles/<target>.json`, and how a manifest differs from it.

The profile has the number of rows, the rows of each label, quantiles of numeric columns, and the words of the texts with their
counts. A target without a profile is not compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError

if TYPE_CHECKING:
    from bitbloom.config.sections.gate import Gate

PROFILES = Path("expectations/profiles")
Profile = Mapping[str, Any]
"""`rows`, `labels` (label → rows), `numeric` (column → `min`, `p05`, `p25`, `p50`, `p75`, `p95`, `max`), `vocabulary` (word →
count, or null)."""
BOUNDS = ("profile_rows_min", "profile_rows_max", "profile_labels", "profile_words", "all_but_profile_drift")
"""Parameters of the expectations that compare with a profile; null without one, which leaves the expectations out."""
SIGNIFICANT = 3.0
"""Fewest standard errors of a difference that counts."""


def profile_path(target: str) -> Path:
    """Return expectations/profiles/<target>.json."""
    return PROFILES / f"{target}.json"


def load(target: str) -> Profile | None:
    """Return the accepted profile of a target, or None without one. Raises BitBloomError if the file has another form."""
    path = profile_path(target)
    if not path.is_file():
        return None
    try:
        profile: Profile = canonical.read_json(path)
        int(profile["rows"]), dict(profile["labels"]), dict(profile["numeric"])
    except (ValueError, KeyError, TypeError) as error:
        raise BitBloomError(f"{path} is not a profile ({error}): run `make accept-data TARGET={target}`") from error
    return profile


def parameters(profile: Profile | None, gate: Gate) -> dict[str, Any]:
    """Return the parameters of the suite that come from the profile."""
    if profile is None or gate.drift_rows is None:
        return dict.fromkeys(BOUNDS)
    rows, vocabulary = int(profile["rows"]), profile.get("vocabulary")
    return {
        "profile_rows_min": math.floor(rows / (1 + gate.drift_rows)),
        "profile_rows_max": math.ceil(rows * (1 + gate.drift_rows)),
        "profile_labels": sorted(profile["labels"]) or None,
        "profile_words": gate.new_words if vocabulary else None,
        "all_but_profile_drift": 1.0,
    }


def add(table: pd.DataFrame, profile: Profile | None, gate: Gate) -> pd.DataFrame:
    """Add the columns that compare each row with the profile, if there is one."""
    if profile is None:
        return table
    columns = {"value_drift": value_drift(table, profile, gate)}
    if "label" in table:
        columns["label_drift"] = label_drift(table, profile, gate)
    if "normalised" in table and profile.get("vocabulary"):
        columns["unknown_words"] = unknown_words(table, profile)
    return table.assign(**columns)


def label_drift(table: pd.DataFrame, profile: Profile, gate: Gate) -> pd.Series:
    """How the fraction of a row's class differs from the profile: by more than `gate.split_ratio`, not by chance; else null.

    If one class shrinks, the fractions of the others grow, though their rows are as before. So the classes whose number of rows
    has changed as much are named; if there are none, all whose fraction has changed.
    """
    before, now = profile["labels"], table["label"].value_counts()
    reasons: dict[str, str] = {}
    moved: dict[str, str] = {}
    for label, count in now.items():
        here, there = count / len(table), before.get(label, 0) / max(sum(before.values()), 1)
        expected = there * len(table)
        if before and _differ(here, there, gate) and abs(count - expected) > SIGNIFICANT * math.sqrt(count + expected):
            reasons[str(label)] = f"{100 * here:.1f} % of the rows, {100 * there:.1f} % in the profile"
            if _differ(count, before.get(label, 0), gate):
                moved[str(label)] = reasons[str(label)]
    named = moved or reasons
    return table["label"].map(named).astype(object).where(table["label"].isin(list(named)), None)


def _differ(one: float, other: float, gate: Gate) -> bool:
    return gate.split_ratio is not None and max(one, other) > gate.split_ratio * min(one, other)


def value_drift(table: pd.DataFrame, profile: Profile, gate: Gate) -> pd.Series:
    """What moved in the numeric columns since the profile, in the rows beyond its 5th or 95th percentile; else null.

    A column has moved if its median differs by more than `gate.drift_median` of the profile's interquartile range.
    """
    found = pd.Series(None, index=table.index, dtype=object)
    for column, known in sorted(profile["numeric"].items()):
        if gate.drift_median is None or column not in table or not pd.api.types.is_numeric_dtype(table[column]):
            continue
        median, before = table[column].median(), known["p50"]
        spread = known["p75"] - known["p25"]
        if abs(median - before) <= gate.drift_median * spread or math.isclose(median, before):
            continue
        beyond = table[column].gt(known["p95"]) if median > before else table[column].lt(known["p05"])
        beyond = beyond if beyond.any() else table[column].notna()
        reason = f"{column}: median {median:.4g}, {before:.4g} in the profile"
        found = found.where(~(beyond & found.isna()), reason)
    return found


def unknown_words(table: pd.DataFrame, profile: Profile) -> pd.Series:
    """1 minus the number of a row's words that the profile has, relative to the profile's mean of a row.

    The mean of the column is the fraction of these words that is lost. The profile may have the most frequent words only.
    """
    known = profile["vocabulary"]
    expected = sum(known.values()) / max(int(profile["rows"]), 1)
    words = table["normalised"].fillna("").str.split()
    return words.map(lambda row: 1 - sum(word in known for word in row) / expected).astype("float64")
