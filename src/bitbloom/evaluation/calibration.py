"""How sure a classifier should sound: one temperature by which its logits are divided (Guo et al. 2017, arXiv:1706.04599).

It is chosen on the validation split, which neither training nor the test has used, and changes no label. Evaluation and
export both apply it; it is computed where it is needed, the same on every machine.
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
"""0.25 to 4.0: a grid, so that a last bit of a loss decides nothing; few validation samples ask for no more extreme ones."""


def temperature(trained: Trained) -> float:
    """The temperature of a trained classifier, by its validation split; 1 when that is empty."""
    validation = trained.dataset.split("val")
    if len(validation) == 0:
        return 1.0
    return best(trained.outputs("val")["logits"], np.asarray(trained.dataset.arrays["labels"])[validation])


def best(logits: metrics.Logits, labels: NDArray[Any]) -> float:
    """The temperature of the grid with which logits [n, K] surprise least at labels [n]; of equals the nearest to 1.

    Raises:
        BitBloomError: shapes that do not fit, or logits that are not finite.
    """
    losses = {value: metrics.rounded(math.fsum(metrics.judge(logits / value, labels).loss)) for value in TEMPERATURES}
    return min(TEMPERATURES, key=lambda value: (losses[value], abs(value - 1), value))
