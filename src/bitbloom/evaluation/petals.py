"""Photos of flowers: the figures and numbers of any classifier, with sheets of photos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bitbloom import calibration
from bitbloom.report import classification

if TYPE_CHECKING:
    from bitbloom.evaluation import Evaluation
    from bitbloom.inference import Trained
    from bitbloom.schema import Evaluate


def evaluate(trained: Trained, history: Mapping[str, Any], config: Evaluate) -> Evaluation:
    """As for any classifier."""
    logits, temperature = trained.outputs("test")["logits"], calibration.temperature(trained)
    return classification.evaluate(logits, trained.dataset, history, config, temperature)
