"""The split of each sample, by its own key alone or as given, and the exclusion of near-duplicates.

Additional data never changes the split of a sample; it can only exclude samples. No included pair of near-duplicates
is in two splits.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from bitbloom.core.errors import BitBloomError
from bitbloom.data.dataset import SPLITS

RANK = {name: rank for rank, name in enumerate(SPLITS)}
"""train < val < test: of a pair in two splits, the sample in the lower one is excluded."""


def percent_of(key: str) -> int:
    """Map a key (64 hex digits) to 0 … 99: its last 64 bits as a percentage."""
    return int(key[-16:], 16) * 100 >> 64


def split_of(key: str, percents: Sequence[int]) -> str:
    """Return the split of a key: the lowest percentages are train, the highest test (see `percent_of`).

    Raises:
        BitBloomError: the percentages are not three numbers that add up to 100.
    """
    if len(percents) != len(SPLITS) or sum(percents) != 100 or min(percents) < 0:
        raise BitBloomError(f"prepare.split {list(percents)} has to be the percentages of {', '.join(SPLITS)}, 100 in total")
    return _portion(key, percents)


def _portion(key: str, parts: Sequence[int]) -> str:
    """Return the split of a key in proportions of any sum."""
    place = int(key[-16:], 16) * sum(parts) >> 64
    if place < parts[0]:
        return SPLITS[0]
    return SPLITS[1] if place < parts[0] + parts[1] else SPLITS[2]


def given_by_source(attributes: Iterable[str]) -> list[str]:
    """Return the split that the source gives to each sample as its attribute `split` (in JSON), or empty texts."""
    found = (json.loads(text).get("split", "") for text in attributes)
    return [split if split in SPLITS else "" for split in found]


def with_given(keys: Sequence[str], given: Sequence[str], percents: Sequence[int]) -> list[str]:
    """Return the split of each sample: the given one, or by `split_of` where it is empty.

    Splits that are given for no sample are taken from the given training split, by key, in the proportions of the percentages.
    """
    parts = [percent if name == SPLITS[0] or name not in given else 0 for name, percent in zip(SPLITS, percents, strict=False)]
    return [
        split_of(key, percents) if not split else _portion(key, parts) if split == SPLITS[0] else split
        for key, split in zip(keys, given, strict=True)
    ]


def assign(
    ids: Sequence[str],
    keys: Sequence[str],
    pairs: Iterable[tuple[int, int]],
    percents: Sequence[int],
    given: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return the columns split, excluded and reason of samples, in order.

    Args:
        ids: names for the reasons.
        keys: the samples' keys.
        pairs: positions of near-duplicates.
        percents: percentages of train, val and test.
        given: the splits that the source gives, empty texts where it gives none; see `with_given`.
    """
    splits = with_given(keys, given or [""] * len(keys), percents)
    reasons: list[str] = [""] * len(splits)
    for one, other in sorted(pairs):
        low, high = sorted((one, other), key=lambda position: RANK[splits[position]])
        if splits[low] != splits[high]:
            reasons[low] = reasons[low] or f"near-duplicate of {ids[high]} in {splits[high]}"
    return pd.DataFrame({"split": splits, "excluded": [bool(reason) for reason in reasons], "reason": reasons})


def leaks(pairs: Iterable[tuple[int, int]], given: Sequence[str]) -> dict[tuple[str, str], int]:
    """Return the number of near-duplicates by the two splits that the source gives them, the lower one first.

    `assign` excludes the sample in the lower split, as in every pair.
    """
    both = (sorted((given[one], given[other]), key=lambda split: RANK.get(split, -1)) for one, other in pairs)
    found = Counter((low, high) for low, high in both if low and low != high)
    return dict(sorted(found.items()))
