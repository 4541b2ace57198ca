"""Out-of-sample probabilities: cross-validated multinomial logistic regression on frozen features."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from bitbloom.core.errors import BitBloomError
from bitbloom.core.progress import track

if TYPE_CHECKING:
    from bitbloom.audit.confident import Labels, Probabilities

FOLDS = 5
STEPS = 100
"""Steps of L-BFGS: a fixed number, so that no rounding decides when it stops."""
PENALTY = 3.0
"""Inverse strength of the L2 penalty (scikit-learn's C) on features of length 1; docs/label-errors.md has the measurement."""

Features = NDArray[np.float32]


def out_of_sample(features: Features, labels: Labels, keys: Sequence[str]) -> Probabilities:
    """Return the probabilities [n, k] of each sample by a model that has not seen it.

    Args:
        features: [n, d]; a feature is a direction, its length does not count.
        labels: [n], 0 to k - 1.
        keys: 64 hex digits for each sample, equal for equal content, which is never on both sides.

    Raises:
        BitBloomError: there are fewer than two classes, or too few samples.
    """
    classes = int(labels.max(initial=-1)) + 1
    parts = folds(labels, keys)
    if len(set(labels.tolist())) < 2 or len(set(parts.tolist())) < FOLDS:
        raise BitBloomError(f"an audit needs at least two labels and {FOLDS} different samples: add data")
    directions = unit(features.astype(np.float64))
    found = np.zeros((len(labels), classes))
    with threadpool_limits(1):  # the order of the sums of several threads is not fixed
        for fold in track(range(FOLDS), "cross-validation"):
            held = parts == fold
            found[held] = fitted(directions[~held], labels[~held], directions[held], classes)
    return found


def fitted(features: NDArray[np.float64], labels: Labels, others: NDArray[np.float64], classes: int) -> Probabilities:
    """Fit the regression, and return the probabilities of other samples; 0 for a class that it has not seen."""
    found = np.zeros((len(others), classes))
    seen = np.unique(labels)
    if len(seen) == 1:
        found[:, seen[0]] = 1.0
        return found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of steps is fixed
        model = LogisticRegression(C=PENALTY, solver="lbfgs", tol=0.0, max_iter=STEPS).fit(features, labels)
    found[:, seen] = model.predict_proba(others)
    return found


def folds(labels: Labels, keys: Sequence[str]) -> NDArray[np.int64]:
    """Assign each sample to a fold [n]: stratified by label, by the digests of the keys; equal keys are in one fold."""
    strata: dict[str, int] = {}
    for key, label in zip(keys, labels.tolist(), strict=True):
        strata[key] = min(label, strata.get(key, label))
    ordered = sorted(strata, key=lambda key: (strata[key], hashlib.sha256(key.encode()).hexdigest()))
    assigned = {key: position % FOLDS for position, key in enumerate(ordered)}
    return np.array([assigned[key] for key in keys], dtype=np.int64)


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rows with length 1; rows of zeros stay."""
    lengths = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return rows / np.where(lengths > 0, lengths, 1.0)
