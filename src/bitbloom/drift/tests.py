"""Two-sample tests: are two samples from one distribution, and how far apart are they.

Every test is deterministic: permutations are drawn from counters, tables from a fixed seed. Its value of p is the probability of
a distance this large between two samples of one distribution. A service compares too, so nothing here needs SciPy, which would be
a fifth of its image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bitbloom.numerics import seeds

Floats = NDArray[np.floating]

BINS = 10
"""Bins of PSI and Jensen-Shannon, of equal numbers of reference values."""
PERMUTATIONS, SEED = 999, 20_260
MOST_EMBEDDINGS = 1000
"""Rows of a sample in the test of embeddings; more would make the test slower than it is worth."""
TERMS = 100
"""Terms of the series of Kolmogorov's distribution."""


def kolmogorov_smirnov(reference: Floats, current: Floats) -> tuple[float, float]:
    """The largest distance of the distribution functions, and p; conservative for values with ties.

    p is that of Kolmogorov's limit, corrected for finite samples as by Stephens (1970, J. R. Stat. Soc. B 32, 115-122).
    """
    ordered = np.sort(reference), np.sort(current)
    places = np.concatenate(ordered)
    first, second = (np.searchsorted(side, places, "right") / len(side) for side in ordered)
    distance = float(np.abs(first - second).max())
    size = np.sqrt(len(reference) * len(current) / (len(reference) + len(current)))
    terms = np.arange(1, TERMS + 1)
    series = (-1.0) ** (terms - 1) * np.exp(-2 * (terms * (size + 0.12 + 0.11 / size) * distance) ** 2)
    return distance, float(np.clip(2 * series.sum(), 0, 1)) if distance else 1.0


def histograms(reference: Floats, current: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fractions of both samples in bins of equal numbers of reference values; values with ties can make fewer bins."""
    inner = np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1]))
    edges = np.searchsorted(inner, reference, "left"), np.searchsorted(inner, current, "left")
    first, second = (np.bincount(bins, minlength=len(inner) + 1) for bins in edges)
    return first / len(reference), second / len(current)


def population_stability(first: Floats, second: Floats) -> float:
    """The population stability index of two histograms: 0.1 is called a small change, 0.25 a large one."""
    floor = 1e-4  # an empty bin would make it infinite
    p, q = np.maximum(first, floor), np.maximum(second, floor)
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(first: Floats, second: Floats) -> float:
    """The Jensen-Shannon distance of two histograms with base 2: 0 for equal ones, 1 without overlap."""
    middle = (first + second) / 2
    parts = [
        (side[side > 0] * np.log2(side[side > 0] / middle[side > 0])).sum() for side in (np.asarray(first), np.asarray(second))
    ]
    return float(np.sqrt(max(0.0, sum(parts) / 2)))


def classes(reference: Sequence[str], current: Sequence[str]) -> tuple[float, float]:
    """Half the sum of differences of the fractions of classes, and p by a chi-square test of homogeneity.

    p compares with drawn tables that have the same sums, which is right for rare classes too.
    """
    names = sorted({*reference, *current})
    counts = np.array([[side[name] for name in names] for side in (Counter(reference), Counter(current))], np.float64)
    fractions = counts / counts.sum(axis=1, keepdims=True)
    distance = float(np.abs(fractions[0] - fractions[1]).sum() / 2)
    if len(names) < 2:
        return distance, 1.0
    of_class = counts.sum(axis=0)
    expected = of_class * len(reference) / counts.sum()
    draws = np.random.default_rng(SEED).multivariate_hypergeometric(of_class.astype(np.int64), len(reference), PERMUTATIONS)
    # Both rows of a table deviate by the same numbers, so the first has the order of the whole statistic.
    found, drawn = (((rows - expected) ** 2 / expected).sum(axis=-1) for rows in (counts[0], draws))
    return distance, float((drawn >= found * (1 - 1e-9)).sum() + 1) / (PERMUTATIONS + 1)


def maximum_mean_discrepancy(reference: Floats, current: Floats) -> tuple[float, float]:
    """The squared MMD of two samples [n, d] and [m, d], and p by permutations (Gretton et al. 2012, JMLR 13, 723-773).

    The kernel is Gaussian, its width the median distance of reference rows. The statistic is the biased one, never negative.
    """
    first, second = _spread(reference), _spread(current)
    kernel = _kernel(np.concatenate([first, second]).astype(np.float32), len(first))
    count, size = len(kernel), len(second)
    members = np.zeros((count, PERMUTATIONS + 1), np.float32)
    members[len(first) :, 0] = 1
    draws = seeds.derive(
        seeds.derive(SEED, np.arange(PERMUTATIONS)[:, None].astype(np.uint64)), np.arange(count, dtype=np.uint64)
    )
    chosen = np.argpartition(draws, size - 1, axis=1)[:, :size]
    members[chosen.T, np.arange(1, PERMUTATIONS + 1)] = 1
    # weights w of +1/m and -1/n: MMD² = w'Kw
    weights = members * np.float32(1 / size + 1 / len(first)) - np.float32(1 / len(first))
    found = np.einsum("ij,ij->j", weights, kernel @ weights)
    return float(found[0]), float((found[1:] >= found[0]).sum() + 1) / (PERMUTATIONS + 1)


def _kernel(rows: NDArray[np.float32], reference: int) -> NDArray[np.float32]:
    squares = np.einsum("ij,ij->i", rows, rows)
    distances = np.maximum(squares[:, None] + squares[None] - 2 * (rows @ rows.T), 0)
    width = float(np.median(distances[:reference, :reference])) or 1.0
    kernel: NDArray[np.float32] = np.exp(distances * np.float32(-1 / width))
    return kernel


def _spread(rows: Floats) -> Floats:
    """At most MOST_EMBEDDINGS rows, spread evenly."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_EMBEDDINGS)).astype(np.int64)]


def holm(values: Mapping[str, float]) -> dict[str, float]:
    """Values of p for many tests at once: an alarm of any of them at 0.01 is false in at most 1 of 100 windows (Holm 1979).

    An alarm wakes people, so the probability of any false one is bounded, not the rate of false ones among many. The correction
    holds for tests that depend on each other, as those of descriptors do.
    """
    largest, found = 0.0, {}
    for rank, name in enumerate(sorted(values, key=lambda name: (values[name], name))):
        largest = max(largest, min(1.0, values[name] * (len(values) - rank)))
        found[name] = largest
    return found
