"""One comparison of current rows with a reference: tests of descriptors, embeddings and predictions, and the accuracy.

found = compare(reference, current)
found.drifted, found.changed      # True, ["brightness", "embedding"]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.drift import accuracy, tests

if TYPE_CHECKING:
    from bitbloom.drift.observations import Observations

FEWEST = 50
"""Smallest number of current rows: fewer show only a large drift."""
ALPHA = 0.01
"""Probability of an alarm without any drift, for all tests together."""
SMALLEST = 0.05
"""Smallest distance of a drift, but for the MMD; a smaller one has no consequence, however many samples show it."""
FEATURE, EMBEDDING, PREDICTION = "feature", "embedding", "prediction"
FAMILIES = (FEATURE, EMBEDDING, PREDICTION)
"""Kinds of tests. Each has a third of ALPHA, so that many descriptors do not weaken the others."""


@dataclass(frozen=True)
class Finding:
    """One test.

    Attributes:
        name: a descriptor, `embedding`, `label` or `confidence`.
        family: one of FAMILIES.
        method: KS, MMD or chi-square.
        distance: of the two samples: 0 to 1, or the squared MMD.
        p: corrected for all tests, so that below ALPHA is an alarm.
        drifted: whether it is one, and the distance is at least SMALLEST; a squared MMD, whose scale is another, may be smaller.
        psi, jensen_shannon: further distances of a number.
        before, now: medians of a number, before and now.
    """

    name: str
    family: str
    method: str
    distance: float
    p: float
    drifted: bool
    psi: float | None = None
    jensen_shannon: float | None = None
    before: float | None = None
    now: float | None = None


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`."""

    reference: int
    samples: int
    tests: list[Finding]
    accuracy: accuracy.Accuracy

    @property
    def changed(self) -> list[str]:
        """Names of what drifted, the largest distance first."""
        found = (test for test in self.tests if test.drifted)
        return [test.name for test in sorted(found, key=lambda test: (-test.distance, test.name))]

    @property
    def drifted(self) -> bool:
        """Whether anything drifted."""
        return bool(self.changed)

    def to_json(self) -> str:
        """Canonical JSON."""
        return canonical.json_text({**asdict(self), "drifted": self.drifted, "changed": self.changed})


def compare(reference: Observations, current: Observations) -> Comparison:
    """Compare current rows with a reference.

    Raises:
        BitBloomError: fewer than FEWEST current rows, or rows of another kind or model.
    """
    check(reference, current)
    found = [*features(reference, current), *embeddings(reference, current), *predictions(reference, current)]
    return Comparison(len(reference), len(current), corrected(found), accuracy.estimate(reference, current))


def check(reference: Observations, current: Observations) -> None:
    """Raise BitBloomError when the rows cannot be compared."""
    if len(current) < FEWEST:
        raise BitBloomError(f"{len(current)} samples are too few for a comparison: collect at least {FEWEST}")
    if reference.kind != current.kind:
        raise BitBloomError(f"the reference is of kind {reference.kind}, the samples of kind {current.kind}: compare one kind")
    if reference.dimension and current.dimension and reference.dimension != current.dimension:
        raise BitBloomError(
            f"embeddings have {current.dimension} numbers, those of the reference {reference.dimension}: "
            "the samples are of another model"
        )


def features(reference: Observations, current: Observations) -> Iterable[Finding]:
    """Test each descriptor that both have, against the training split."""
    trained = reference.select(np.array([split != "val" for split in reference.split]))
    before = trained.features if len(trained) >= FEWEST else reference.features
    for name, values in current.features.items():
        if name in before:
            yield from numbers(name, FEATURE, before[name], values)


def numbers(name: str, family: str, before: NDArray[np.float32], now: NDArray[np.float32]) -> Iterable[Finding]:
    """Test a number, without its missing values; nothing when too few are left."""
    first, second = before[~np.isnan(before)], now[~np.isnan(now)]
    if min(len(first), len(second)) < FEWEST // 2:
        return
    distance, p = tests.kolmogorov_smirnov(first, second)
    bins = tests.histograms(first, second)
    yield Finding(
        name,
        family,
        "KS",
        distance,
        p,
        drifted=False,
        psi=tests.population_stability(*bins),
        jensen_shannon=tests.jensen_shannon(*bins),
        before=float(np.median(first)),
        now=float(np.median(second)),
    )


def embeddings(reference: Observations, current: Observations) -> Iterable[Finding]:
    """Test the embeddings against those of the validation split."""
    first, second = reference.embeddings, current.embeddings
    if first is None or second is None or min(len(first), len(second)) < FEWEST // 2:
        return
    distance, p = tests.maximum_mean_discrepancy(first, second)
    yield Finding(EMBEDDING, EMBEDDING, "MMD", distance, p, drifted=False)


def predictions(reference: Observations, current: Observations) -> Iterable[Finding]:
    """Test the fractions of predicted classes, and the confidence, where the reference has them."""
    first, second = ([label for label in rows.labels if label is not None] for rows in (reference, current))
    if min(len(first), len(second)) < FEWEST // 2:
        return
    distance, p = tests.classes(first, second)
    yield Finding("label", PREDICTION, "chi-square", distance, p, drifted=False)
    yield from numbers("confidence", PREDICTION, reference.confidence, current.confidence)


def corrected(found: list[Finding]) -> list[Finding]:
    """The tests with corrected values of p, and the verdict of each: Holm within a family, Bonferroni between families."""
    p: dict[str, float] = {}
    families = [family for family in FAMILIES if any(test.family == family for test in found)]
    for family in families:
        p |= tests.holm({test.name: min(1.0, test.p * len(families)) for test in found if test.family == family})
    return [_judged(test, p[test.name]) for test in found]


def _judged(test: Finding, p: float) -> Finding:
    large = test.method == "MMD" or test.distance >= SMALLEST
    values: dict[str, Any] = {**vars(test), "p": p, "drifted": bool(p < ALPHA and large)}
    return Finding(**values)


def drifted_most(reference: Observations, current: Observations, count: int) -> NDArray[np.int64]:
    """Positions of the current rows farthest from the reference, at most `count`, the farthest first.

    Far is by embeddings from the nearest of the validation split, or by descriptors in units of their spread.
    """
    if (known := reference.embeddings) is not None and current.embeddings is not None:
        positions = np.flatnonzero(current.embedded)
        far = distances(current.embeddings, known).min(axis=1)
    else:
        positions, far = np.arange(len(current)), outlying(reference, current)
    return positions[np.argsort(-far, kind="stable")[:count]].astype(np.int64)


def outlying(reference: Observations, current: Observations) -> NDArray[np.float64]:
    """How far each current row [n] is from the reference's medians, in its largest descriptor."""
    far = np.zeros(len(current))
    for name, values in current.features.items():
        if name in reference.features:
            known = reference.features[name][~np.isnan(reference.features[name])].astype(np.float64)
            middle, spread = np.median(known), np.subtract(*np.quantile(known, [0.9, 0.1])) or 1.0
            far = np.maximum(far, np.nan_to_num(np.abs(values - middle) / spread))
    return far


def distances(rows: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float32]:
    """Squared Euclidean distances [n, m] of rows [n, d] and [m, d]."""
    first, second = np.asarray(rows, np.float32), np.asarray(others, np.float32)
    found: NDArray[np.float32] = (
        np.einsum("ij,ij->i", first, first)[:, None] + np.einsum("ij,ij->i", second, second) - 2 * (first @ second.T)
    )
    return found
