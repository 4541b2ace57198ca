"""Tests of a model's behaviour: invariance, direction and minimum function (Ribeiro et al. 2020, arXiv:2005.04118).

- invariance: a change that keeps the meaning keeps the prediction,
- direction: a change moves a probability, or a similarity, in a known direction,
- minimum function: simple cases have the known result.

`CASES` in `behaviour_of_photos`, `behaviour_of_texts` and `behaviour_of_captions` list the tests. Each returns for every case
whether it holds; the pass rate is their fraction. A test that a data set has no cases for is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bitbloom.core import progress
from bitbloom.evaluation import metrics
from bitbloom.monitoring.robustness import behaviour_of_captions, behaviour_of_photos, behaviour_of_texts

if TYPE_CHECKING:
    from bitbloom.monitoring.robustness.behaviour_cases import Case
    from bitbloom.monitoring.robustness.subject import Subject

CASES: Mapping[str, Sequence[Case]] = {
    "image": behaviour_of_photos.CASES,
    "text": behaviour_of_texts.CASES,
    "caption": behaviour_of_captions.CASES,
}
"""The tests of each kind of model."""


def rows(subject: Subject) -> list[dict[str, Any]]:
    """Type, name, number of cases and pass rate of each test of a model."""
    found = []
    for case in progress.track(CASES[subject.kind], "test behaviour"):
        held = case.holds(subject)
        if len(held):
            rate = metrics.rounded(float(held.mean()))
            found.append({"type": case.type, "name": case.name, "cases": len(held), "passed": int(held.sum()), "rate": rate})
    return found
