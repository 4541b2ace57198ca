"""Tests of the behaviour of a captioning model.

The similarity of a photo and a sentence is the cosine of their vectors. Sentences are those of the test samples; a sentence of
the next sample with other words stands for a wrong one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bitbloom.monitoring.robustness import captions, changes
from bitbloom.monitoring.robustness.behaviour_cases import DIRECTION, INVARIANCE, MINIMUM, Case, Holds, among
from bitbloom.monitoring.robustness.subject import with_images

if TYPE_CHECKING:
    from bitbloom.monitoring.robustness.changes import Images
    from bitbloom.monitoring.robustness.subject import Subject

CLOSE = 0.9
"""Smallest cosine of the vectors of a photo and a slightly changed one."""
REPEATED = 3
"""Number of equal words in succession that no sentence has."""


def _images(subject: Subject) -> Images:
    return np.asarray(subject.test.arrays["images"])


def vectors(subject: Subject, images: Images) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors [n, E] of photos, and of the first sentence of each test sample."""
    found = subject.outputs(with_images(subject.test, images))
    return found["images"].numpy(), found["texts"][:, 0].numpy()


def close(change: Callable[[Images], Images]) -> Holds:
    """Whether the vector of a changed photo is close to that of the photo."""

    def holds(subject: Subject) -> NDArray[np.bool_]:
        before, after = (vectors(subject, images)[0] for images in (_images(subject), change(_images(subject))))
        near: NDArray[np.bool_] = (before * after).sum(axis=1) >= CLOSE
        return near

    return holds


def less_similar(change: Callable[[Images], Images]) -> Holds:
    """Whether a change of the photo lowers its similarity to its sentence."""

    def holds(subject: Subject) -> NDArray[np.bool_]:
        (before, sentences), (after, _) = (vectors(subject, images) for images in (_images(subject), change(_images(subject))))
        fewer: NDArray[np.bool_] = (after * sentences).sum(axis=1) < (before * sentences).sum(axis=1)
        return fewer

    return holds


def wrong_sentence(subject: Subject) -> NDArray[np.bool_]:
    """Whether the own sentence is more similar to a photo than that of the next sample with another first sentence."""
    images, sentences = vectors(subject, _images(subject))
    first = captions.first_sentences(subject.test)
    others = [_next_other(first, position) for position in range(len(first))]
    kept = np.array([other is not None for other in others])
    wrong = sentences[[position if other is None else other for position, other in enumerate(others)]]
    right: NDArray[np.bool_] = (images * sentences).sum(axis=1) > (images * wrong).sum(axis=1)
    return among(right, kept)


def _next_other(first: list[str], position: int) -> int | None:
    """The position of the next sample, cyclically, whose sentence differs."""
    turn = ((position + step) % len(first) for step in range(1, len(first)))
    return next((other for other in turn if first[other] != first[position]), None)


def sound_sentences(subject: Subject) -> NDArray[np.bool_]:
    """Whether a generated sentence has two words or more, and no word REPEATED times in succession."""
    from bitbloom.models import generation

    written = captions.sentences(subject, subject.test, generation.greedy)
    return np.array([_sound(sentence.split()) for sentence in written])


def _sound(words: list[str]) -> bool:
    repeated = any(len(set(words[at : at + REPEATED])) == 1 for at in range(len(words) - REPEATED + 1))
    return len(words) >= 2 and not repeated


CASES = (
    Case(INVARIANCE, "a mirrored photo has nearly the same vector", close(changes.flipped)),
    Case(INVARIANCE, "5 % more light keeps the vector", close(lambda images: changes.brighter(images, 5))),
    Case(INVARIANCE, "a shift by 3 % of the side keeps the vector", close(lambda images: changes.shifted(images, 0.03))),
    Case(
        DIRECTION, "a covered centre is less similar to the sentence", less_similar(lambda images: changes.covered(images, 0.6))
    ),
    Case(DIRECTION, "a plain photo is less similar to the sentence", less_similar(changes.plain)),
    Case(DIRECTION, "exchanged colours are less similar to the sentence", less_similar(changes.turned_colours)),
    Case(MINIMUM, "the own sentence is more similar than that of another photo", wrong_sentence),
    Case(MINIMUM, "a sentence has two words or more and repeats none thrice", sound_sentences),
)
