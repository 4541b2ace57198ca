"""Photos and sentences: what is written of each photo, what finds what, and how both compare with simpler ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bitbloom.config.models.caption import CaptionModel
from bitbloom.core.progress import track
from bitbloom.data import vocabulary
from bitbloom.models import writing
from bitbloom.models.captioner import Captioner
from bitbloom.tasks.captions import findings as captioning

if TYPE_CHECKING:
    from bitbloom.config.sections.evaluate import Evaluate
    from bitbloom.contracts import Batch, Evaluation, Trained
    from bitbloom.models.decoding import Sentence

BEAMS = 4
"""As many as the service searches with."""
BATCH = 32


def evaluate(trained: Trained, history: Mapping[str, Any], config: Evaluate) -> Evaluation:
    """Sentences by beam search and greedily, and the vectors of photos and sentences, held against the true ones."""
    outputs, names = trained.outputs("test"), trained.meta["vocabulary"]
    beam, greedy = written(trained)
    found = captioning.Found(
        images=outputs["images"].numpy(),
        texts=outputs["texts"].numpy(),
        learned=trained.outputs("train")["images"].numpy(),
        beam=[vocabulary.sentence(sentence.words, names) for sentence in beam],
        greedy=[vocabulary.sentence(words, names) for words in greedy],
        scores=np.array([sentence.score for sentence in beam]),
    )
    return captioning.evaluate(found, trained.dataset, history, config)


@torch.no_grad()
def written(trained: Trained) -> tuple[list[Sentence], list[list[int]]]:
    """The best sentence of each photo of the test split, and the greedy one's words."""
    captioner, model, test = trained.network, trained.model, trained.dataset.split("test")
    assert isinstance(captioner, Captioner) and isinstance(model, CaptionModel)
    beam: list[Sentence] = []
    greedy: list[list[int]] = []
    for first in track(range(0, len(test), BATCH), "write"):
        here = test[first : first + BATCH]
        batch: Batch = trained.task.batch(trained.dataset.take(np.resize(here, BATCH)), None, None, model)
        places = batch["places"] if "places" in batch else captioner.places(batch["pixels"])
        greedy += writing.greedy(captioner, places)[: len(here)]
        beam += [writing.beam(captioner, one, BEAMS)[0] for one in places[: len(here)]]
    return beam, greedy
