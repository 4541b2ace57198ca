"""Estimated accuracy without labels, and the realised one where labels came later.

CBPE (confidence-based performance estimation): the mean probability of the predicted labels, which is the expected accuracy of a
calibrated model. ATC (average thresholded confidence; Garg et al. 2022, arXiv:2201.04234): the fraction of predictions above the
confidence that as many validation predictions exceed as are right. Both assume that a confidence means what it meant on the
validation split; docs/drift.md shows by how much each kind of drift breaks that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bitbloom.drift.observations import Observations

FEWEST_LABELS = 10


@dataclass(frozen=True)
class Accuracy:
    """Accuracies as fractions; None where they cannot be computed.

    Attributes:
        reference: on the validation split.
        cbpe: estimated by the mean confidence.
        atc: estimated by a threshold of the confidence.
        realised: of the current rows with a true label.
        low, high: Wilson's 95 % interval of the realised one.
        labelled: the number of these rows.
    """

    reference: float | None
    cbpe: float | None
    atc: float | None
    realised: float | None
    low: float | None
    high: float | None
    labelled: int


def estimate(reference: Observations, current: Observations) -> Accuracy:
    """Estimate the accuracy on the current rows from confidences, and compute the realised one from true labels."""
    known, right = right_labels(reference)
    labelled, correct = right_labels(current)
    before, now = reference.confidence[known], current.confidence[~np.isnan(current.confidence)]
    enough = len(before) >= FEWEST_LABELS and len(now) > 0
    low, high = wilson(int(correct.sum()), len(correct)) if len(correct) else (None, None)
    return Accuracy(
        reference=_mean(right),
        cbpe=float(now.astype(np.float64).mean()) if enough else None,
        atc=float((now >= threshold(before, right)).mean()) if enough else None,
        realised=_mean(correct),
        low=low,
        high=high,
        labelled=int(labelled.sum()),
    )


def of_labelled(rows: Observations) -> float | None:
    """The accuracy on the rows with a true label; None without one."""
    return _mean(right_labels(rows)[1])


def right_labels(rows: Observations) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows [n] have a predicted and a true label, and whether these are equal, [m]."""
    known = np.array([label is not None and true is not None for label, true in zip(rows.labels, rows.truth, strict=True)], bool)
    return known, np.asarray(rows.labels[known] == rows.truth[known], bool)


def _mean(right: NDArray[np.bool_]) -> float | None:
    return float(right.mean()) if len(right) else None


def threshold(confidence: NDArray[np.float32], right: NDArray[np.bool_]) -> float:
    """The confidence that as many of these predictions reach as are right."""
    ordered = np.sort(confidence)[::-1]
    count = int(right.sum())
    return float(ordered[count - 1]) if count else math.inf


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a fraction (Wilson 1927)."""
    z = 1.959963984540054
    middle, spread = (right + z * z / 2), z * math.sqrt(right * (count - right) / count + z * z / 4)
    return (middle - spread) / (count + z * z), (middle + spread) / (count + z * z)
