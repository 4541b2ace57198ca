"""Evaluator of `petals`: metrics and figures of a classifier, with sheets of photos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bitbloom.evaluation import calibration, classification

if TYPE_CHECKING:
    from bitbloom.config.sections.evaluate import Evaluate
    from bitbloom.contracts import Evaluation, Trained


def evaluate(trained: Trained, history: Mapping[str, Any], config: Evaluate) -> Evaluation:
    """Evaluate the classifier on the test split."""
    logits, temperature = trained.outputs("test")["logits"], calibration.temperature(trained)
    return classification.evaluate(logits, trained.dataset, history, config, temperature)
