"""The profile of a manifest: what the gate compares later data with, once a reviewed change has accepted it.

    profile(manifest)["labels"]      # {"rose": 200, …}

`bitbloom.versions.profile` adds what needs more than the manifest, and writes `expectations/profiles/<target>.json`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from bitbloom.data.dataset import SPLITS

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

QUANTILES = {"min": 0.0, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}
"""Names of the quantiles of a numeric column, with linear interpolation."""
WORDS, WORDS_COLUMN = 500, "normalised"
"""Largest number of words in the vocabulary, and the column of normalised texts that it counts."""
DIGITS = 6
"""Significant digits of a quantile, so that a reviewer can read it."""


def profile(manifest: pd.DataFrame) -> dict[str, Any]:
    """Return rows, splits that the source gives, labels, quantiles of numeric columns, and the vocabulary of texts.

    The order of the rows does not matter. Without given splits or texts, `splits` or `vocabulary` is None.
    """
    return {
        "rows": len(manifest),
        "splits": _given(manifest),
        "labels": _counted(manifest["label"].dropna().astype(str)),
        "numeric": _numeric(manifest),
        "vocabulary": _vocabulary(manifest[WORDS_COLUMN].dropna().astype(str)) if WORDS_COLUMN in manifest else None,
    }


def _given(manifest: pd.DataFrame) -> dict[str, int] | None:
    """Return the number of samples of each split that the source gives, or None."""
    found = (json.loads(text).get("split", "") for text in manifest["attributes"].dropna()) if "attributes" in manifest else ()
    counts = Counter(split for split in found if split in SPLITS)
    return {split: counts[split] for split in SPLITS} if counts else None


def _numeric(manifest: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return column → name of a quantile → value, of the columns of numbers; truth values are none."""
    columns = {
        str(name): column.to_numpy(np.float64, na_value=np.nan) for name, column in manifest.select_dtypes("number").items()
    }
    finite = {name: values[np.isfinite(values)] for name, values in sorted(columns.items())}
    return {name: _quantiles(values) for name, values in finite.items() if len(values)}


def _quantiles(values: NDArray[np.float64]) -> dict[str, float]:
    found = np.quantile(values, list(QUANTILES.values()))
    return {name: float(f"{value:.{DIGITS}g}") for name, value in zip(QUANTILES, found.tolist(), strict=True)}


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _vocabulary(texts: Iterable[str]) -> dict[str, int]:
    """Return the most frequent words with their numbers; of equally frequent ones, the first alphabetically."""
    counts = Counter(word for text in texts for word in text.split())
    chosen = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:WORDS]
    return dict(sorted(chosen))
