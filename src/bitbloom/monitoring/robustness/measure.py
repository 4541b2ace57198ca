"""Accuracy, calibration and estimated accuracy of classifiers under every damage, and the mean corruption error.

The mean corruption error (mCE) is that of Hendrycks and Dietterich 2019 (arXiv:1903.12261): for each corruption the errors of all
severities are added and divided by those of a reference model; the mean over the corruptions follows. The relative one takes the
increase over the error without damage instead. Without a reference the errors are only averaged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bitbloom.core import progress
from bitbloom.evaluation import metrics
from bitbloom.monitoring.robustness import captions, estimates
from bitbloom.monitoring.robustness.subject import Subject, cells, damaged

if TYPE_CHECKING:
    from bitbloom.data.dataset import Dataset
    from bitbloom.monitoring.robustness.record import Record

Row = dict[str, Any]
CLEAN = "none"
"""Name of the damage of the undamaged samples."""


def rows(subjects: Sequence[Subject], record: Record) -> list[list[Row]]:
    """For each model the rows of its test samples: first undamaged, then with every damage in every severity.

    Models with the same samples share the damaged ones. The record has those of an earlier measurement that was stopped.
    """
    found: list[list[Row]] = [[row(subject, subject.test) | _named(CLEAN, "", 0)] for subject in subjects]
    first = subjects[0]
    for name, severity in progress.track(list(cells(first)), "damage and predict"):
        made: dict[str, Dataset] = {}
        for subject, own in zip(subjects, found, strict=True):
            measured = record.row(f"{name} {severity} {subject.digest}", partial(_damaged_row, subject, name, severity, made))
            own.append(measured | _named(name, first.damages[name], severity))
    return found


def _damaged_row(subject: Subject, name: str, severity: int, made: dict[str, Dataset]) -> Row:
    """The row of damaged samples, which `made` keeps by the digest of the data."""
    same = subject.trained.data_digest
    if same not in made:
        made[same] = damaged(subject, name, severity)
    return row(subject, made[same])


def _named(name: str, group: str, severity: int) -> Row:
    return {"damage": name, "group": group, "severity": severity}


def row(subject: Subject, samples: Dataset) -> Row:
    """The numbers of a model on samples, floats rounded to `metrics.DIGITS` digits."""
    return metrics.rounded(captions.row(subject, samples) if subject.kind == "caption" else classified(subject, samples))  # type: ignore[no-any-return]


def predictions(subject: Subject, samples: Dataset) -> metrics.Predictions:
    """Compare the calibrated predictions with the labels."""
    return metrics.compare(subject.outputs(samples)["logits"], np.asarray(samples.arrays["labels"]), subject.temperature)


def classified(subject: Subject, samples: Dataset) -> Row:
    """Accuracy, error, calibration error, the bins of a reliability diagram, and the estimates of the accuracy."""
    found, bins = predictions(subject, samples), subject.target.evaluate.calibration_bins
    accuracy = float(found.correct.mean())
    return {
        "score": accuracy,
        "error": 1 - accuracy,
        "calibration_error": metrics.calibration_error(found.confidence, found.correct, bins),
        "confidence": math.fsum(found.confidence.tolist()) / len(found.confidence),
        "estimated": estimates.of(subject).accuracy(found.confidence),
        "bins": metrics.calibration(found.confidence, found.correct, bins),
    }


def summary(own: Sequence[Row], reference: Sequence[Row] | None = None) -> dict[str, float | None]:
    """The scores of a model with and without damage, its mean corruption error, and the mean error of the estimates.

    `reference` has the rows of the model by which errors are divided; without one `mce` is the mean error, and `relative_mce`
    the mean increase of the error.
    """
    damaged_rows = own[1:]
    found: dict[str, float | None] = {
        "score": own[0]["score"],
        "damaged_score": mean([row["score"] for row in damaged_rows]),
        "mce": corruption_error(own, reference, relative=False),
        "relative_mce": corruption_error(own, reference, relative=True),
    }
    if "calibration_error" in own[0]:
        found["calibration_error"] = own[0]["calibration_error"]
        found["damaged_calibration_error"] = mean([row["calibration_error"] for row in damaged_rows])
    for name in own[0].get("estimated", {}):
        found[f"{name}_error"] = mean([abs(row["estimated"][name] - row["score"]) for row in damaged_rows])
    rounded: dict[str, float | None] = metrics.rounded(found)
    return rounded


def corruption_error(own: Sequence[Row], reference: Sequence[Row] | None, relative: bool) -> float | None:
    """The mean corruption error, 1 for a model that is as good as the reference; None when the reference makes no error.

    Corruptions under which the reference makes no error (relative: no more errors) are left out.
    """
    names = list(dict.fromkeys(row["damage"] for row in own[1:]))
    sums = {name: _sum(own, name, relative) for name in names}
    if reference is None:
        return mean([sums[name] / _count(own, name) for name in names])
    below = {name: _sum(reference, name, relative) for name in names}
    ratios = [sums[name] / below[name] for name in names if below[name] > 0]
    return mean(ratios) if ratios else None


def _sum(own: Sequence[Row], name: str, relative: bool) -> float:
    clean = own[0]["error"] if relative else 0.0
    return math.fsum(row["error"] - clean for row in own if row["damage"] == name)


def _count(own: Sequence[Row], name: str) -> int:
    return sum(row["damage"] == name for row in own)


def mean(values: Sequence[float]) -> float:
    """The mean, by an exact sum."""
    return math.fsum(values) / len(values)


def worst(own: Sequence[Row]) -> Mapping[str, Any]:
    """The damaged row with the lowest score, the first of equals."""
    return min(own[1:], key=lambda row: row["score"])
