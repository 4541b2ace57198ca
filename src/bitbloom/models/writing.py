"""Sentences of photos by PyTorch: what the evaluation judges, and what the exported graphs are held against.

Every step computes the whole sentence so far, at full length and for a fixed number of rows: the matrices of a single word
have other bits on other CPUs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import log_softmax

from bitbloom.data.vocabulary import END, PADDING, START, UNKNOWN
from bitbloom.models.decoding import Sentence, search

if TYPE_CHECKING:
    from bitbloom.models.captioner import Captioner


@torch.no_grad()
def beam(captioner: Captioner, places: Tensor, width: int) -> list[Sentence]:
    """The likeliest sentences of one photo, float32 [T, D], best first."""
    seen = places[None].expand(width, -1, -1)

    def step(words: NDArray[np.int64], position: int, before: Tensor) -> tuple[NDArray[np.float32], Tensor]:
        before = before.clone()
        before[:, position] = torch.from_numpy(words)
        filled = torch.cat([before, before[:1].expand(width - len(before), -1)])
        scores = log_softmax(captioner.next_words(seen, filled)[:, position], dim=-1)
        return scores[: len(before)].numpy(), before

    return search(step, torch.full((1, captioner.longest), PADDING), width, captioner.longest)


@torch.no_grad()
def greedy(captioner: Captioner, places: Tensor) -> list[list[int]]:
    """The words of each photo's sentence, [n, T, D], each the likeliest after those before it; without START and END."""
    words = torch.full((len(places), captioner.longest + 1), PADDING)
    words[:, 0] = START
    running = torch.ones(len(places), dtype=torch.bool)
    for position in range(captioner.longest):
        scores = captioner.next_words(places, words[:, :-1])[:, position]
        scores[:, [PADDING, START, UNKNOWN]] = -torch.inf
        if position == 0:
            scores[:, END] = -torch.inf  # a sentence has a word
        words[:, position + 1] = torch.where(running, scores.argmax(dim=1), PADDING)
        running = running & (words[:, position + 1] != END)
        if not running.any():
            break
    return [[word for word in row if word not in (PADDING, START, END)] for row in words.tolist()]
