"""Task `petals`: classify flower photos by species, or any photos by class.

Arrays: those of `bitbloom.tasks.petals.samples`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bitbloom.config.models.image import ImageModel
    from bitbloom.config.sections.augment import Augment
    from bitbloom.config.sections.train import Train
    from bitbloom.contracts import Batch, Outputs


def build(model: ImageModel, meta: Mapping[str, Any], pretrained: bool = True) -> nn.Module:
    """Build the classifier, float32 [n, 3, s, s] → logits [n, classes]."""
    from bitbloom.models import classifier

    return classifier.build(model, len(meta["classes"]), pretrained)


def parameter_groups(network: nn.Module, train: Train) -> list[dict[str, Any]]:
    """Return the optimiser groups; the head can have its own learning rate."""
    from bitbloom.models import classifier
    from bitbloom.training import groups

    return groups.parameter_groups(network, network.head().parameters() if isinstance(network, classifier.Logits) else (), train)


def batch(
    arrays: Mapping[str, NDArray[Any]], seeds: NDArray[np.uint64] | None, augment: Augment | None, model: ImageModel
) -> Batch:
    """Return `pixels` float32 [n, 3, s, s] and labels `first`; for training also `second` int64 [n] and `weight` float32 [n]."""
    import torch

    from bitbloom.models.preprocess import Preprocess, scale

    preprocess = Preprocess(model.image_size, model.mean, model.std)
    images, labels = torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["labels"])
    if seeds is None:
        return {"pixels": preprocess(images), "first": labels}
    from bitbloom.models.augment import augment as augmented

    assert augment is not None, "augment is given with seeds"
    mixed = augmented(scale(images), labels, seeds, model.image_size, augment)
    return {"pixels": preprocess.normalise(mixed.pixels), "first": mixed.first, "second": mixed.second, "weight": mixed.weight}


def forward(network: nn.Module, batch: Batch) -> Outputs:
    """Return `logits` [n, classes]."""
    return {"logits": network(batch["pixels"])}


def loss(network: nn.Module, batch: Batch, train: Train) -> Tensor:
    """Return the mean cross-entropy with label smoothing; both labels of a mixed sample contribute by their weights."""
    from torch.nn.functional import cross_entropy

    logits = network(batch["pixels"])
    first, second = (
        cross_entropy(logits, batch[name], reduction="none", label_smoothing=train.label_smoothing)
        for name in ("first", "second")
    )
    return (first + (second - first) * batch["weight"]).mean()


def score(outputs: Outputs, arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return loss and accuracy on the validation split."""
    from bitbloom.training import classification

    return classification.score(outputs, arrays)
