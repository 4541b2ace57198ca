"""Retrieval and generated sentences of a captioning model under damage.

Queries are damaged photos and undamaged sentences of the same samples. Greedy search writes the sentences: it takes a tenth of
the time of the service's beam search, and the comparison between severities is what counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bitbloom.data import vocabulary
from bitbloom.data.vocabulary import PADDING
from bitbloom.tasks.captions import metrics as caption_metrics
from bitbloom.tasks.captions import scoring

if TYPE_CHECKING:
    from bitbloom.data.dataset import Dataset
    from bitbloom.monitoring.robustness.subject import Subject

BATCH = 32
RECALL = 5
"""The score is the recall among this number of sentences."""


def row(subject: Subject, samples: Dataset) -> dict[str, Any]:
    """Recall at 1 and 5 from photo to sentence and back, and CIDEr-D of the sentences."""
    from bitbloom.models import generation

    found, photos = subject.outputs(samples), _photos(samples)
    images, texts = found["images"].numpy(), found["texts"].numpy()
    present = np.asarray(samples.arrays["words"])[:, :, 0] != PADDING
    owner = np.nonzero(present)[0]
    groups, pool = photos.groups, texts[present]
    i2t = caption_metrics.ranks(images, pool, groups, groups[owner])
    t2i = caption_metrics.ranks(pool, images, groups[owner], groups)
    written = [caption_metrics.words(sentence) for sentence in sentences(subject, samples, generation.greedy)]
    recall = caption_metrics.recall(i2t, RECALL)
    return {
        "score": recall,
        "error": 1 - recall,
        "i2t_recall_at_1": caption_metrics.recall(i2t, 1),
        "t2i_recall_at_1": caption_metrics.recall(t2i, 1),
        "t2i_recall_at_5": caption_metrics.recall(t2i, RECALL),
        "cider_d": caption_metrics.agreement(written, photos.words).numbers["cider_d"],
    }


def _photos(samples: Dataset) -> scoring.Photos:
    """The captions and groups of the samples, which are all of the test split."""
    return scoring.Photos.of(samples, "test")


@torch.no_grad()
def sentences(subject: Subject, samples: Dataset, search: Any) -> list[str]:
    """The sentence of each photo by a search of `models.generation` over batches."""
    captioner: Any = subject.trained.network
    names, count, found = samples.meta["vocabulary"], len(samples.samples), list[str]()
    for first in range(0, count, BATCH):
        positions = np.arange(first, min(first + BATCH, count))
        batch = subject.trained.task.batch(samples.take(np.resize(positions, BATCH)), None, None, subject.trained.model)
        patches = batch["places"] if "places" in batch else captioner.patch_features(batch["pixels"])
        found += [vocabulary.sentence(words, names) for words in search(captioner, patches)[: len(positions)]]
    return found


def first_sentences(samples: Dataset) -> list[str]:
    """The first caption of each sample, as words for comparison."""
    return [own[0] for own in _photos(samples).words]
