"""Task `tweets`: classify short texts by whether they report a real disaster, or any texts by class.

Arrays: those of `bitbloom.tasks.tweets.samples`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bitbloom.config.models.text import TextModel
    from bitbloom.config.sections.augment import Augment
    from bitbloom.config.sections.train import Train
    from bitbloom.contracts import Batch, Outputs


def build(model: TextModel, meta: Mapping[str, Any], pretrained: bool = True) -> nn.Module:
    """Build the classifier, tokens int64 [n, l] → logits [n, classes]."""
    from bitbloom.models import text_classifier

    return text_classifier.build(model, meta, pretrained)


def parameter_groups(network: nn.Module, train: Train) -> list[dict[str, Any]]:
    """Return the optimiser groups; the head can have its own learning rate."""
    from bitbloom.training import groups

    return groups.parameter_groups(network, network.get_submodule("model.classifier").parameters(), train)


def batch(
    arrays: Mapping[str, NDArray[Any]], seeds: NDArray[np.uint64] | None, augment: Augment | None, model: TextModel
) -> Batch:
    """Return `tokens` int64 [n, l], truncated to the longest of these texts, and `labels` int64 [n]."""
    import torch

    from bitbloom.models.tokens import cut

    tokens = cut(arrays["tokens"], arrays["lengths"])
    if seeds is not None:
        tokens = arrays["tokens"][:, : portable_length(len(tokens), tokens.shape[1], arrays["tokens"].shape[1])]
    return {"tokens": torch.from_numpy(tokens), "labels": torch.from_numpy(arrays["labels"])}


def portable_length(texts: int, length: int, longest: int) -> int:
    """Return the number of tokens, from `length` in steps up to `longest`, with the same gradient of a weight on every CPU.

    The gradient is a sum over all tokens of a batch; MKL splits sums of some numbers of terms differently on Intel and AMD.
    """
    from bitbloom.models.tokens import STEP
    from bitbloom.numerics.subset import portable_terms

    return next((tokens for tokens in range(length, longest, STEP) if portable_terms(texts * tokens)), longest)


def forward(network: nn.Module, batch: Batch) -> Outputs:
    """Return `logits` [n, classes]."""
    return {"logits": network(batch["tokens"])}


def loss(network: nn.Module, batch: Batch, train: Train) -> Tensor:
    """Return the mean cross-entropy with label smoothing."""
    from torch.nn.functional import cross_entropy

    return cross_entropy(network(batch["tokens"]), batch["labels"], label_smoothing=train.label_smoothing)


def score(outputs: Outputs, arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return loss and accuracy on the validation split."""
    from bitbloom.training import classification

    return classification.score(outputs, arrays)
