"""Evaluator of `captions`: generated sentences, retrieval in both directions, and baselines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bitbloom.config.models.caption import CaptionModel
from bitbloom.core.progress import track
from bitbloom.data import vocabulary
from bitbloom.models import generation
from bitbloom.models.captioner import Captioner
from bitbloom.tasks.captions import scoring

if TYPE_CHECKING:
    from bitbloom.config.sections.evaluate import Evaluate
    from bitbloom.contracts import Batch, Evaluation, Trained
    from bitbloom.models.decoding import Sentence

BEAMS = 4
"""Beam width, the same as in the service."""
BATCH = 32


def evaluate(trained: Trained, history: Mapping[str, Any], config: Evaluate) -> Evaluation:
    """Compare generated sentences and embeddings of the test split with the reference captions."""
    outputs, names = trained.outputs("test"), trained.meta["vocabulary"]
    beam, greedy = generate(trained)
    predictions = scoring.Predictions(
        images=outputs["images"].numpy(),
        texts=outputs["texts"].numpy(),
        train_images=trained.outputs("train")["images"].numpy(),
        beam=[vocabulary.sentence(sentence.words, names) for sentence in beam],
        greedy=[vocabulary.sentence(words, names) for words in greedy],
        scores=np.array([sentence.score for sentence in beam]),
    )
    return scoring.evaluate(predictions, trained.dataset, history, config)


@torch.no_grad()
def generate(trained: Trained) -> tuple[list[Sentence], list[list[int]]]:
    """Generate sentences of the test split: the best one of beam search, and the words of greedy search."""
    captioner, model, test = trained.network, trained.model, trained.dataset.split("test")
    assert isinstance(captioner, Captioner) and isinstance(model, CaptionModel)
    beam: list[Sentence] = []
    greedy: list[list[int]] = []
    for first in track(range(0, len(test), BATCH), "write"):
        positions = test[first : first + BATCH]
        batch: Batch = trained.task.batch(trained.dataset.take(np.resize(positions, BATCH)), None, None, model)
        patches = batch["places"] if "places" in batch else captioner.patch_features(batch["pixels"])
        greedy += generation.greedy(captioner, patches)[: len(positions)]
        beam += [generation.beam(captioner, photo, BEAMS)[0] for photo in patches[: len(positions)]]
    return beam, greedy
