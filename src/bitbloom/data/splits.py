"""Which split a sample belongs to, by its own key alone, and which near-duplicates are left out.

Laws: adding data never changes a sample's split, it can only exclude samples; no included pair of near-duplicates
straddles two splits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from bitbloom.core.errors import BitBloomError
from bitbloom.data.dataset import SPLITS

RANK = {name: rank for rank, name in enumerate(SPLITS)}
"""train < val < test: of a pair in two splits, the sample in the lower one is excluded."""


def percent_of(key: str) -> int:
    """Where a key (64 hex digits) lies between 0 and 99: its last 64 bits as a fraction of 100 percent."""
    return int(key[-16:], 16) * 100 >> 64


def split_of(key: str, percents: Sequence[int]) -> str:
    """The split of a key: train lies below, test above (see `percent_of`).

    Raises:
        BitBloomError: the percents are not three numbers that add up to 100.
    """
    if len(percents) != len(SPLITS) or sum(percents) != 100 or min(percents) < 0:
        raise BitBloomError(f"prepare.split is {list(percents)}: it has to be the percents of {', '.join(SPLITS)}, 100 together")
    place = percent_of(key)
    if place < percents[0]:
        return SPLITS[0]
    return SPLITS[1] if place < percents[0] + percents[1] else SPLITS[2]


def assign(ids: Sequence[str], keys: Sequence[str], pairs: Iterable[tuple[int, int]], percents: Sequence[int]) -> pd.DataFrame:
    """Columns split, excluded and reason of samples in order.

    Args:
        ids: names used in the reasons.
        keys: the samples' keys.
        pairs: positions of near-duplicates.
        percents: of train, val and test.
    """
    splits = [split_of(key, percents) for key in keys]
    reasons: list[str] = [""] * len(splits)
    for one, other in sorted(pairs):
        low, high = sorted((one, other), key=lambda position: RANK[splits[position]])
        if splits[low] != splits[high]:
            reasons[low] = reasons[low] or f"near-duplicate of {ids[high]} in {splits[high]}"
    return pd.DataFrame({"split": splits, "excluded": [bool(reason) for reason in reasons], "reason": reasons})
