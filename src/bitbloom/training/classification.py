"""Validation scores of classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    from bitbloom.contracts import Outputs


def score(outputs: Outputs, arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return loss and accuracy on the validation split."""
    labels = torch.from_numpy(arrays["labels"])
    logits = outputs["logits"]
    accuracy = int((logits.argmax(1) == labels).sum()) / len(labels)
    return {"loss": float(cross_entropy(logits, labels)), "accuracy": accuracy, "score": accuracy}
