"""Estimates of a classifier's accuracy without labels, fitted to its validation split."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bitbloom.drift.accuracy import threshold
from bitbloom.evaluation import metrics

if TYPE_CHECKING:
    from bitbloom.monitoring.robustness.subject import Subject


@dataclass(frozen=True)
class Estimator:
    """Estimates of the accuracy from confidences.

    Attributes:
        threshold: the fraction of validation confidences from it on is the validation accuracy (ATC, Garg et al. 2022,
            arXiv:2201.04234); None without validation samples.
    """

    threshold: float | None

    def accuracy(self, confidence: NDArray[np.float64]) -> dict[str, float]:
        """Method → estimated accuracy from calibrated confidences [n], by the methods of `drift/accuracy.py`."""
        found = {"cbpe": math.fsum(confidence.tolist()) / len(confidence)}
        if self.threshold is not None:
            found["atc"] = float((confidence.astype(np.float32) >= self.threshold).mean())
        return found


@functools.cache
def of(subject: Subject) -> Estimator:
    """The estimator of a model, by its validation split."""
    trained = subject.trained
    validation = trained.dataset.split("val")
    if len(validation) == 0:
        return Estimator(None)
    labels = np.asarray(trained.dataset.arrays["labels"])[validation]
    found = metrics.compare(trained.outputs("val")["logits"], labels, subject.temperature)
    return Estimator(threshold(found.confidence.astype(np.float32), found.correct))
