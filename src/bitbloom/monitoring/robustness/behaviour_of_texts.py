"""Tests of the behaviour of a classifier of texts.

Invariances change the texts of the test split. Directions and minimum functions are sentences about disasters, for models with
the class `disaster`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from bitbloom.data import texts
from bitbloom.data.dataset import Dataset
from bitbloom.monitoring.robustness.behaviour_cases import DIRECTION, INVARIANCE, MINIMUM, Case, Holds, equal
from bitbloom.monitoring.robustness.subject import encode, with_texts

if TYPE_CHECKING:
    from bitbloom.monitoring.robustness.subject import Subject

POSITIVE = "disaster"
FORCES = ("flood", "fire", "storm", "explosion", "earthquake")
THINGS = ("concert", "quiz night", "film festival", "dance class", "debate")
PLACES = ("market", "bridge", "clinic", "library", "village")
SHARP = 0.02
"""Smallest difference of a probability that counts as a move."""


def probability(subject: Subject, given: Sequence[str]) -> NDArray[np.float64]:
    """Calibrated probability [n] of a disaster for texts without keyword and location."""
    length = subject.test.arrays["tokens"].shape[1]
    rows, lengths = encode(subject.test.meta, length, [texts.joined(text, "", "") for text in given])
    arrays = {"tokens": rows, "lengths": lengths, "labels": np.zeros(len(rows), np.int64)}
    samples = subject.test.samples.iloc[np.resize(np.arange(len(subject.test.samples)), len(rows))]
    logits = subject.outputs(Dataset(arrays, samples, subject.test.meta))["logits"]
    found = torch.softmax(logits.double() / subject.temperature, dim=1).numpy()
    chosen: NDArray[np.float64] = found[:, subject.test.meta["classes"].index(POSITIVE)]
    return chosen


def same_label(change: Callable[[str], str]) -> Holds:
    """Whether a change of a text keeps the label."""

    def holds(subject: Subject) -> NDArray[np.bool_]:
        changed = with_texts(subject.test, [change(text) for text in subject.test.samples["text"]])
        before, after = (subject.outputs(samples)["logits"].argmax(dim=1).numpy() for samples in (subject.test, changed))
        return equal(before, after)

    return holds


def lower(first: Sequence[str], second: Sequence[str]) -> Holds:
    """Whether a disaster is less likely in the second of each pair of texts."""

    def holds(subject: Subject) -> NDArray[np.bool_]:
        if POSITIVE not in subject.test.meta["classes"]:
            return np.zeros(0, np.bool_)
        moved: NDArray[np.bool_] = probability(subject, second) < probability(subject, first) - SHARP
        return moved

    return holds


def labelled(given: Sequence[str], positive: bool) -> Holds:
    """Whether texts are labelled as a disaster, or as none."""

    def holds(subject: Subject) -> NDArray[np.bool_]:
        if POSITIVE not in subject.test.meta["classes"]:
            return np.zeros(0, np.bool_)
        found: NDArray[np.bool_] = (probability(subject, given) > 0.5) == positive
        return found

    return holds


def filled(form: str) -> list[str]:
    """A form with every force and place, and a thing for each."""
    pairs = product(range(len(FORCES)), range(len(PLACES)))
    return [form.format(force=FORCES[i], thing=THINGS[(i + j) % len(THINGS)], place=PLACES[j]) for i, j in pairs]


REAL = filled("last night a sudden {force} swept through the {place}, no {thing} ever did")
BORROWED = filled("last night a sudden {thing} swept through the {place}, no {force} ever did")

CASES = (
    Case(INVARIANCE, "capitals keep the label", same_label(str.upper)),
    Case(INVARIANCE, "a mention at the start keeps the label", same_label(lambda text: f"@anna {text}")),
    Case(INVARIANCE, "an address at the end keeps the label", same_label(lambda text: f"{text} http://t.co/x1")),
    Case(INVARIANCE, "a name that says it keeps the label", same_label(lambda text: f"Omar says {text}")),
    Case(INVARIANCE, "two spaces in place of one keep the label", same_label(lambda text: text.replace(" ", "  "))),
    Case(
        DIRECTION,
        "a negation makes a disaster less likely",
        lower(filled("the {force} destroyed the {place} at dawn"), filled("no {force} destroyed the {place} at dawn")),
    ),
    Case(DIRECTION, "a borrowed word makes a disaster less likely than a real one", lower(REAL, BORROWED)),
    Case(MINIMUM, "a sentence about a force that acts is a disaster", labelled(REAL, True)),
    Case(MINIMUM, "a sentence about a harmless thing is none", labelled(BORROWED, False)),
)
