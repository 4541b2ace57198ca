"""Confident learning (Northcutt, Jiang and Chuang 2021, JAIR 70, arXiv:1911.00068): how many labels are wrong, and which.

The input is `probabilities` float64 [n, k], whose rows add up to 1, each of a model that has not seen the sample, and `labels`
int64 [n], positions in the columns. Where a label is wrong, that model tends to be sure of another class.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DIGITS = 6
"""Decimals of a score: the last bits of a probability, which differ between machines, do not change the order."""

Probabilities = NDArray[np.float64]
Labels = NDArray[np.int64]


def thresholds(probabilities: Probabilities, labels: Labels) -> Probabilities:
    """Return the mean probability of each class over the samples with its label, [k]; infinity for a class without samples."""
    classes = probabilities.shape[1]
    own = probabilities[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, weights=own, minlength=classes)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)


def confident_joint(probabilities: Probabilities, labels: Labels) -> NDArray[np.int64]:
    """Count the samples of each given class (row) that are confidently of each class (column), [k, k].

    A sample is confidently of the likeliest class among those whose probability reaches their threshold; without one, it does not
    count.
    """
    classes = probabilities.shape[1]
    reached = probabilities >= thresholds(probabilities, labels) - 1e-12  # a mean of equal numbers may exceed them by rounding
    likeliest = np.where(reached, probabilities, -1.0).argmax(axis=1)
    counted = reached.any(axis=1)
    cells = labels[counted] * classes + likeliest[counted]
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def joint(probabilities: Probabilities, labels: Labels) -> NDArray[np.float64]:
    """Estimate the number of samples of each given class (row) that are of each true class (column), [k, k].

    It is the confident joint whose rows are scaled to the number of samples with that label.
    """
    counted = confident_joint(probabilities, labels).astype(np.float64)
    given = np.bincount(labels, minlength=len(counted)).astype(np.float64)
    rows = counted.sum(axis=1)
    unseen = rows == 0  # no sample is confident: the labels are taken as they are
    counted[unseen] = np.diag(given)[unseen]
    scaled: NDArray[np.float64] = counted * (given / np.maximum(counted.sum(axis=1), 1.0))[:, None]
    return scaled


def wrong_labels(probabilities: Probabilities, labels: Labels) -> int:
    """Estimate how many labels are wrong: the sum of the joint off its diagonal."""
    found = joint(probabilities, labels)
    return round(float(found.sum() - np.trace(found)))


def margins(probabilities: Probabilities, labels: Labels) -> NDArray[np.float64]:
    """Return the normalised margin of each label, [n]: 0 if another class is certain, 1 if the label is certain."""
    largest: NDArray[np.float64] = others(probabilities, labels).max(axis=1, initial=0.0)
    return (probabilities[np.arange(len(labels)), labels] - largest + 1.0) / 2.0


def self_confidence(probabilities: Probabilities, labels: Labels) -> NDArray[np.float64]:
    """Return the probability of each given label, [n]."""
    found: NDArray[np.float64] = probabilities[np.arange(len(labels)), labels]
    return found


def adjusted_confidence(probabilities: Probabilities, labels: Labels) -> NDArray[np.float64]:
    """Return the self-confidence less the mean of its class, moved to 0 to 1, [n]: classes may differ in difficulty."""
    return (self_confidence(probabilities, labels) - thresholds(probabilities, labels)[labels] + 1.0) / 2.0


def suggested(probabilities: Probabilities, labels: Labels) -> Labels:
    """Return the likeliest class other than the label, [n]."""
    found: Labels = others(probabilities, labels).argmax(axis=1).astype(np.int64)
    return found


def others(probabilities: Probabilities, labels: Labels) -> Probabilities:
    """Return the probabilities with -1 in place of the given labels, [n, k]."""
    found = probabilities.copy()
    found[np.arange(len(labels)), labels] = -1.0
    return found


def ranking(scores: NDArray[np.float64], ids: Sequence[str]) -> list[int]:
    """Return the positions of all samples, the most suspicious first: by the rounded score, then by the id."""
    rounded = np.round(scores, DIGITS).tolist()
    return sorted(range(len(ids)), key=lambda position: (rounded[position], ids[position]))
