"""Temperature scaling: one temperature divides the logits of a classifier (Guo et al. 2017, arXiv:1706.04599).

The temperature is chosen on the validation split, which neither training nor the test uses, and changes no label. Evaluation
and export both compute and apply it; it is the same on every machine.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitbloom.evaluation import metrics

if TYPE_CHECKING:
    from bitbloom.contracts import Trained

STEP = 20
TEMPERATURES = [step / STEP for step in range(STEP // 4, 4 * STEP + 1)]
"""0.25 to 4.0: a grid, so that the last bit of a loss has no influence. A small validation split justifies no wider one."""


def temperature(trained: Trained) -> float:
    """The temperature of a trained classifier, by its validation split; 1 when that is empty."""
    validation = trained.dataset.split("val")
    if len(validation) == 0:
        return 1.0
    return best(trained.outputs("val")["logits"], np.asarray(trained.dataset.arrays["labels"])[validation])


def best(logits: metrics.Logits, labels: NDArray[Any]) -> float:
    """The temperature of the grid with the least negative log likelihood of labels [n] by logits [n, K]; ties: nearest to 1.

    Raises:
        BitBloomError: shapes that do not fit, or logits that are not finite.
    """
    losses = {value: metrics.rounded(math.fsum(metrics.compare(logits, labels, value).loss)) for value in TEMPERATURES}
    return min(TEMPERATURES, key=lambda value: (losses[value], abs(value - 1), value))
