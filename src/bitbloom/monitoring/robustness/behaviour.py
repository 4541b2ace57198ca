"""Tests of a model's behaviour: invariance, direction and minimum function (Ribeiro et al. 2020, arXiv:2005.04118).

- invariance: a change that keeps the meaning keeps the prediction,
- direction: a change moves a probability, or a similarity, in a known direction,
- minimum function: simple cases have the known result.

`CASES` in `behaviour_of_photos`, `behaviour_of_texts` and `behaviour_of_captions` list the tests. Each returns for every case
whether it holds; the pass rate is their fraction. A test that a data set has no cases for is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bitbloom.core import progress
from bitbloom.evaluation import metrics

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


def rows(subject: Subject) -> list[dict[str, Any]]:
    """Type, name, number of cases and pass rate of each test of a model."""
    found = []
    for case in progress.track(cases(subject.kind), "test behaviour"):
        held = case.holds(subject)
        if len(held):
            rate = metrics.rounded(float(held.mean()))
            found.append({"type": case.type, "name": case.name, "cases": len(held), "passed": int(held.sum()), "rate": rate})
    return found


def cases(kind: str) -> Sequence[Case]:
    """The tests of a kind of model."""
    from bitbloom.monitoring.robustness import behaviour_of_captions, behaviour_of_photos, behaviour_of_texts

    tests: dict[str, Sequence[Case]] = {
        "image": behaviour_of_photos.CASES,
        "text": behaviour_of_texts.CASES,
        "caption": behaviour_of_captions.CASES,
    }
    return tests[kind]
