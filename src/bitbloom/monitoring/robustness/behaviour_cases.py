"""The types of tests of behaviour, and what a test is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bitbloom.monitoring.robustness.subject import Subject

INVARIANCE, DIRECTION, MINIMUM = "invariance", "direction", "minimum function"
Holds = Callable[["Subject"], NDArray[np.bool_]]


@dataclass(frozen=True)
class Case:
    """A test of behaviour: its type, what holds, and the function that returns for each case whether it does."""

    type: str
    name: str
    holds: Holds


def equal(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether two labels of each sample are equal."""
    found: NDArray[np.bool_] = first == second
    return found


def among(held: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the test holds, of the chosen samples only."""
    found: NDArray[np.bool_] = held[chosen]
    return found
