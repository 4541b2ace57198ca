"""Sentence generation by PyTorch, for the evaluation and as the reference for the exported graphs.

Every step computes the whole sentence so far, at full length and for a fixed number of rows: matrices of a single word are
not portable between CPUs.
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
def beam(captioner: Captioner, patches: Tensor, width: int) -> list[Sentence]:
    """Generate sentences of one photo from its patch features, float32 [T, D], by beam search; best first."""
    repeated = patches[None].expand(width, -1, -1)

    def step(words: NDArray[np.int64], position: int, before: Tensor) -> tuple[NDArray[np.float32], Tensor]:
        before = before.clone()
        before[:, position] = torch.from_numpy(words)
        padded = torch.cat([before, before[:1].expand(width - len(before), -1)])
        scores = log_softmax(captioner.next_words(repeated, padded)[:, position], dim=-1)
        return scores[: len(before)].numpy(), before

    return search(step, torch.full((1, captioner.longest), PADDING), width, captioner.longest)


@torch.no_grad()
def greedy(captioner: Captioner, patches: Tensor) -> list[list[int]]:
    """Generate one sentence per photo from patch features [n, T, D] by greedy search: word indices, without START and END."""
    words = torch.full((len(patches), captioner.longest + 1), PADDING)
    words[:, 0] = START
    running = torch.ones(len(patches), dtype=torch.bool)
    for position in range(captioner.longest):
        scores = captioner.next_words(patches, words[:, :-1])[:, position]
        scores[:, [PADDING, START, UNKNOWN]] = -torch.inf
        if position == 0:
            scores[:, END] = -torch.inf  # a sentence has at least one word
        words[:, position + 1] = torch.where(running, scores.argmax(dim=1), PADDING)
        running = running & (words[:, position + 1] != END)
        if not running.any():
            break
    return [[word for word in row if word not in (PADDING, START, END)] for row in words.tolist()]
