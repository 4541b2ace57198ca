"""Rows of the log that are described together."""

from __future__ import annotations

import numpy as np
import pytest

from bitbloom.serving.prediction_log.observations import Observation, Origin, Outcome, all_described, described

DICE = np.random.default_rng(7)
OUTCOME = Outcome("poppy", 0.9, None)


def photo(side: int) -> Observation:
    """The observation of a random square."""
    square = DICE.integers(0, 256, (3, side, side), dtype=np.uint8)
    return Observation.of_image(Origin(f"photo of {side}", 0.0), square.tobytes(), square, OUTCOME, False)


def text(words: str) -> Observation:
    """The observation of a text."""
    return Observation.of_text(Origin(words, 0.0), words, OUTCOME, False)


SEEN = {
    "one": [photo(24)],
    "equal sides": [photo(24), photo(24), photo(24)],
    "other sides": [photo(24), photo(96)],
    "texts": [text("a flood"), text("")],
    "both kinds": [photo(8), text("mixed")],
}


@pytest.mark.parametrize("seen", SEEN.values(), ids=SEEN)
def test_rows_together_are_those_of_each(seen):
    assert all_described(seen) == [described(one) for one in seen]
