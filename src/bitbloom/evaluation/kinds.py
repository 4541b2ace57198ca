"""Results of an evaluation by kind of model: the score, the table of predictions, and whether it is a classifier.

Plots, tracking and optimisation read them; no stage does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Results:
    """Results of a kind of model.

    Attributes:
        score: the validation curve of `training.json` that is plotted in addition to the losses.
        classifier: whether the predictions are classes, so that there is a confusion matrix.
        table: the evaluation's table of test samples.
        columns: its columns of the truth and of the prediction.
    """

    score: str = "val_accuracy"
    classifier: bool = True
    table: str = "confusion"
    columns: tuple[str, str] = ("actual", "predicted")


OTHER: Mapping[str, Results] = {"caption": Results("val_recall", False, "sentences", ("written", "truth"))}
"""Kinds of models that are not classifiers."""


def results(kind: str) -> Results:
    """Return the results of a kind of model; those of a classifier unless it is in OTHER."""
    return OTHER.get(kind, Results())
