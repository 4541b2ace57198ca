"""Beam search: the most likely sentences of a language model that predicts one word at a time.

    search(step, start, width=4, length=20)      # width=1 is greedy search
    by_graph(session, memory, width=4)           # with the exported decoder

The model is a function argument, so that the service (exported graph) and the evaluation (PyTorch) share this code.
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

EXCLUDED = (PADDING, START, UNKNOWN)
"""Tokens that never occur in a sentence, whatever their probability."""


class Rows(Protocol):
    """The state of a model for some sentences, one row each: a NumPy array or a PyTorch tensor."""

    def __getitem__(self, rows: list[int], /) -> Any:
        """Select rows in this order; a row may occur more than once."""
        ...


State = TypeVar("State", bound=Rows)
Step = Callable[[NDArray[np.int64], int, State], tuple[NDArray[np.float32], State]]
"""words int64 [n], their position, state of n rows → log-probabilities of the next word float32 [n, V], new state."""


@dataclass(frozen=True)
class Sentence:
    """Word indices, without START and END, and their mean log-probability, END included."""

    words: list[int]
    score: float


@dataclass(frozen=True)
class Beam:
    """A partial sentence: its words from START on, the sum of their log-probabilities, and the row that it extends."""

    words: list[int]
    total: float
    parent: int = 0


def search(step: Step[State], start: State, width: int, length: int) -> list[Sentence]:
    """Return the best sentences of a beam search, best first: at most `width`.

    A finished sentence keeps its slot in the beam: the search continues with one beam less (Sutskever et al. 2014,
    arXiv:1409.3215). Sentences of different lengths are ranked by the mean of the log-probabilities, not by the sum.
    Ties between continuations are broken by the rank of the beam, then by the lower word index.

    Args:
        step: the model.
        start: state of the model before the first word, one row.
        width: beams; 1 is greedy search.
        length: largest number of words, END included; a longer sentence is truncated.
    """
    done: list[Sentence] = []
    beams, state = [Beam([START], 0.0)], start
    for position in range(length):
        scores, state = step(np.array([beam.words[-1] for beam in beams], dtype=np.int64), position, state)
        found = _extended(beams, scores, width - len(done))
        done += [Sentence(beam.words[1:-1], beam.total / (position + 1)) for beam in found if beam.words[-1] == END]
        beams = [beam for beam in found if beam.words[-1] != END]
        if not beams:
            break
        state = state[[beam.parent for beam in beams]]
    done += [Sentence(beam.words[1:], beam.total / length) for beam in beams]
    return sorted(done, key=lambda sentence: (-sentence.score, sentence.words))


def by_graph(decoder: InferenceSession, memory: NDArray[np.float32], width: int) -> list[Sentence]:
    """Return the most likely sentences of one photo, best first, with the exported decoder.

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

    _, *shape = next(given.shape for given in decoder.get_inputs() if given.name == "past")
    return search(step, np.zeros((1, *shape), np.float32), width, length=shape[3])


def _extended(beams: Sequence[Beam], scores: NDArray[np.float32], most: int) -> list[Beam]:
    """Return the most likely beams that are one word longer, best first, at most `most`."""
    totals = np.array([beam.total for beam in beams])[:, None] + scores.astype(np.float64)
    totals[:, EXCLUDED] = -np.inf
    if len(beams[0].words) == 1:
        totals[:, END] = -np.inf  # a sentence has at least one word
    return [
        Beam([*beams[row].words, word], float(totals[row, word]), row)
        for row, word in (divmod(index, totals.shape[1]) for index in _largest(totals.ravel(), most))
    ]


def _largest(values: NDArray[np.float64], most: int) -> list[int]:
    """Return the indices of the `most` largest values above -∞, largest first; ties keep their order."""
    most = min(most, len(values))
    near = np.flatnonzero((values >= np.partition(values, -most)[-most]) & (values > -np.inf))
    order: list[int] = near[np.argsort(-values[near], kind="stable")][:most].tolist()
    return order
