"""Tests of the behaviour of a classifier of photos."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from bitbloom.monitoring.robustness import changes, photos
from bitbloom.monitoring.robustness.behaviour_cases import DIRECTION, INVARIANCE, MINIMUM, Case, Holds, among, equal
from bitbloom.monitoring.robustness.subject import with_images

if TYPE_CHECKING:
    from collections.abc import Callable

    from bitbloom.monitoring.robustness.changes import Images
    from bitbloom.monitoring.robustness.subject import Subject

FEWEST = 0.5
"""Recall that every class has at least."""


def probabilities(subject: Subject, images: Images) -> NDArray[np.float64]:
    """Calibrated probabilities [n, classes] for other photos of the test samples."""
    logits = subject.outputs(with_images(subject.test, images))["logits"]
    found: NDArray[np.float64] = torch.softmax(logits.double() / subject.temperature, dim=1).numpy()
    return found


def _images(subject: Subject) -> Images:
    return np.asarray(subject.test.arrays["images"])


def same_label(change: Callable[[Images], Images]) -> Holds:
    """Whether a change keeps the label."""

    def holds(subject: Subject) -> NDArray[np.bool_]:
        before, after = (probabilities(subject, images).argmax(axis=1) for images in (_images(subject), change(_images(subject))))
        return equal(before, after)

    return holds


def less_sure(change: Callable[[Images], Images]) -> Holds:
    """Whether a change lowers the probability of the true class, of photos that are recognised without it."""

    def holds(subject: Subject) -> NDArray[np.bool_]:
        before, after = (probabilities(subject, images) for images in (_images(subject), change(_images(subject))))
        rows = np.arange(len(before))
        lower: NDArray[np.bool_] = after[rows, subject.labels] < before[rows, subject.labels]
        return among(lower, before.argmax(axis=1) == subject.labels)

    return holds


def stronger_noise(subject: Subject) -> NDArray[np.bool_]:
    """Whether the strongest noise leaves less probability of the true class than the weakest, of recognised photos."""
    seeds, images = subject.test.sample_seeds(), _images(subject)
    clean, weak, strong = (
        probabilities(subject, photos.corrupt(images, "gaussian noise", severity, seeds)) for severity in (0, 1, 5)
    )
    rows = np.arange(len(clean))
    lower: NDArray[np.bool_] = strong[rows, subject.labels] < weak[rows, subject.labels]
    return among(lower, clean.argmax(axis=1) == subject.labels)


def every_class(subject: Subject) -> NDArray[np.bool_]:
    """Whether the model recognises FEWEST of the photos of a class, for each class."""
    right = probabilities(subject, _images(subject)).argmax(axis=1) == subject.labels
    return np.array([right[subject.labels == label].mean() >= FEWEST for label in np.unique(subject.labels)])


def sure_is_right(subject: Subject) -> NDArray[np.bool_]:
    """Whether predictions with a probability of 0.9 or more are correct."""
    found = probabilities(subject, _images(subject))
    right: NDArray[np.bool_] = found.argmax(axis=1) == subject.labels
    return among(right, found.max(axis=1) >= 0.9)


CASES = (
    Case(INVARIANCE, "a mirrored photo has the same label", same_label(changes.flipped)),
    Case(INVARIANCE, "5 % more light keeps the label", same_label(lambda images: changes.brighter(images, 5))),
    Case(INVARIANCE, "5 % less light keeps the label", same_label(lambda images: changes.brighter(images, -5))),
    Case(INVARIANCE, "a shift by 3 % of the side keeps the label", same_label(lambda images: changes.shifted(images, 0.03))),
    Case(DIRECTION, "a covered centre makes the true class less likely", less_sure(lambda images: changes.covered(images, 0.6))),
    Case(DIRECTION, "a plain photo makes the true class less likely", less_sure(changes.plain)),
    Case(DIRECTION, "exchanged tiles make the true class less likely", less_sure(lambda images: changes.mixed_tiles(images, 4))),
    Case(DIRECTION, "stronger noise makes the true class less likely", stronger_noise),
    Case(MINIMUM, "half of the photos of each class are recognised", every_class),
    Case(MINIMUM, "a prediction with a probability of 0.9 or more is correct", sure_is_right),
)
