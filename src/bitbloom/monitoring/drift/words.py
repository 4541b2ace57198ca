"""What changed, in words."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from bitbloom.data.descriptors import image, text
from bitbloom.drift.comparison import EMBEDDING

if TYPE_CHECKING:
    from bitbloom.drift.comparison import Comparison, Finding
    from bitbloom.drift.observations import Observations

MEANINGS = {**image.DESCRIPTIONS, **text.DESCRIPTIONS, "confidence": "probability of the predicted label"}
MOST_CLASSES = 3


def verdict(found: Comparison) -> str:
    """One sentence about a comparison."""
    if not found.drifted:
        return f"No drift: {found.samples:,} samples look like the training data."
    return f"Drift: {found.samples:,} samples differ from the training data in {', '.join(found.changed)}."


def changes(found: Comparison, reference: Observations, current: Observations) -> list[str]:
    """A sentence for each test that found a drift, the largest first."""
    by_name = {test.name: test for test in found.tests}
    return [sentence(by_name[name], reference, current) for name in found.changed]


def sentence(test: Finding, reference: Observations, current: Observations) -> str:
    """What a test found."""
    if test.name == EMBEDDING:
        return f"The model sees other content: the squared distance of the embeddings (MMD) is {test.distance:.3g}."
    if test.name == "label":
        return f"Other classes are predicted: {classes(reference, current)}."
    assert test.before is not None and test.now is not None
    named = f"{test.name} ({MEANINGS.get(test.name, test.name)})"
    if test.before == test.now:
        return f"{named} has another distribution with the same median, {test.now:.3g}."
    direction = "higher" if test.now > test.before else "lower"
    return f"{named} is {direction}: the median was {test.before:.3g} and is {test.now:.3g}."


def classes(reference: Observations, current: Observations) -> str:
    """The classes whose fractions changed most."""
    counts = [Counter(label for label in rows.labels if label is not None) for rows in (reference, current)]
    before, now = ({name: count / side.total() for name, count in side.items()} for side in counts)
    gained = {name: now.get(name, 0.0) - before.get(name, 0.0) for name in {*before, *now}}
    chosen = sorted(gained, key=lambda name: (-abs(gained[name]), name))[:MOST_CLASSES]
    return ", ".join(f"{name} {before.get(name, 0.0):.0%} → {now.get(name, 0.0):.0%}" for name in chosen)
