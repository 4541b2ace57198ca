"""Beam search: the likeliest sentences of a language model that is asked for one word at a time.

    search(step, start, width=4, length=20)      # width=1 is greedy search
    by_graph(session, memory, width=4)           # the same with the exported decoder

The model is a function, so that the service searches with the exported graph and the evaluation with PyTorch, by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from bitbloom.data.vocabulary import END, PADDING, START, UNKNOWN

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

UNWRITTEN = (PADDING, START, UNKNOWN)
"""What no sentence holds, however likely the model finds it."""


class Rows(Protocol):
    """What a model remembers of some sentences, a row each: a NumPy array, or a tensor of PyTorch."""

    def __getitem__(self, rows: list[int], /) -> Any:
        """These rows, in this order; a row may come twice."""
        ...


State = TypeVar("State", bound=Rows)
Step = Callable[[NDArray[np.int64], int, State], tuple[NDArray[np.float32], State]]
"""words int64 [n], their position, state of n rows → log-probabilities of the next word float32 [n, V], the new state."""


@dataclass(frozen=True)
class Sentence:
    """Numbers of words, without START and END, and their mean log-probability, that of END included."""

    words: list[int]
    score: float


@dataclass(frozen=True)
class Beam:
    """A sentence so far: its words from START on, the sum of their log-probabilities, and the row it continues."""

    words: list[int]
    total: float
    parent: int = 0


def search(step: Step[State], start: State, width: int, length: int) -> list[Sentence]:
    """The best sentences that a beam search finds, best first: `width` of them, or fewer where there are no more.

    A finished sentence keeps its place in the beam: the search goes on with one beam less (Sutskever et al. 2014,
    arXiv:1409.3215). The mean, not the sum, of the log-probabilities puts sentences of different lengths in order.
    Of equal continuations that of the better beam comes first, then that by the lower word number.

    Args:
        step: the model.
        start: its state before the first word, one row.
        width: beams; 1 is greedy search.
        length: most words of a sentence, END included; one that has not ended by then is cut.
    """
    done: list[Sentence] = []
    beams, state = [Beam([START], 0.0)], start
    for position in range(length):
        scores, state = step(np.array([beam.words[-1] for beam in beams], dtype=np.int64), position, state)
        found = _continued(beams, scores, width - len(done))
        done += [Sentence(beam.words[1:-1], beam.total / (position + 1)) for beam in found if beam.words[-1] == END]
        beams = [beam for beam in found if beam.words[-1] != END]
        if not beams:
            break
        state = state[[beam.parent for beam in beams]]
    done += [Sentence(beam.words[1:], beam.total / length) for beam in beams]
    return sorted(done, key=lambda sentence: (-sentence.score, sentence.words))


def by_graph(decoder: InferenceSession, memory: NDArray[np.float32], width: int) -> list[Sentence]:
    """The likeliest sentences of one photo, best first, by the exported decoder.

    Args:
        decoder: inputs `words` int64 [n], `position` int64 [1], `memory`, `past` float32 [n, L, 2, H, W, D]; outputs `scores`
            float32 [n, V], log-probabilities of the next word, and `present`, the next `past`.
        memory: float32 [1, L, 2, H, T, D], keys and values of the decoder's cross-attention.
        width: beams.
    """

    def step(words: NDArray[np.int64], position: int, past: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
        inputs = {"words": words, "position": np.array([position]), "past": past, "memory": memory.repeat(len(words), 0)}
        scores, present = decoder.run(["scores", "present"], inputs)
        return scores, present

    _, *shape = next(taken.shape for taken in decoder.get_inputs() if taken.name == "past")
    return search(step, np.zeros((1, *shape), np.float32), width, length=shape[3])


def _continued(beams: Sequence[Beam], scores: NDArray[np.float32], most: int) -> list[Beam]:
    """The likeliest beams that are one word longer, best first, `most` of them or fewer."""
    totals = np.array([beam.total for beam in beams])[:, None] + scores.astype(np.float64)
    totals[:, UNWRITTEN] = -np.inf
    if len(beams[0].words) == 1:
        totals[:, END] = -np.inf  # a sentence has a word
    return [
        Beam([*beams[row].words, word], float(totals[row, word]), row)
        for row, word in (divmod(place, totals.shape[1]) for place in _largest(totals.ravel(), most))
    ]


def _largest(values: NDArray[np.float64], most: int) -> list[int]:
    """Places of the `most` largest values above -∞, the largest first, equal ones in the order of their places."""
    most = min(most, len(values))
    near = np.flatnonzero((values >= np.partition(values, -most)[-most]) & (values > -np.inf))
    order: list[int] = near[np.argsort(-values[near], kind="stable")][:most].tolist()
    return order
