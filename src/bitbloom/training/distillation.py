"""Knowledge distillation: a network also learns from the logits of a trained one (Hinton et al. 2015, arXiv:1503.02531)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, softmax

from bitbloom.core.digests import file_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.training.inference import stored

if TYPE_CHECKING:
    from bitbloom.config.models import Model
    from bitbloom.config.sections.train import Distill, Train
    from bitbloom.contracts import Batch, TaskModel

INPUTS = ("kind", "image_size", "mean", "std")
"""Keys of `model` that describe the tensors of a batch."""
META = ("classes", "tokenizer")
"""Keys of `meta` that describe the tensors of a batch and the logits."""

FILES = ("config.json", "model.safetensors")
"""Files of a teacher's folder."""


class Teacher:
    """The loss of a task with a part from a trained network, which sees the same augmented batches.

    Attributes:
        record: folder and SHA-256 of its weights, for training.json.
    """

    def __init__(self, config: Distill, task: TaskModel, model: Model, meta: Mapping[str, Any], device: torch.device) -> None:
        """Load the teacher of a student with this `model` and `meta`. Raises BitBloomError if it has other classes or inputs."""
        folder = Path(str(config.teacher))
        if not all((folder / name).is_file() for name in FILES):
            raise BitBloomError(f"train.distill.teacher: {folder} lacks {' or '.join(FILES)}: train that target first")
        network, of_teacher, trained = stored(folder, task)
        for key, its, own in (
            *((f"model.{key}", getattr(of_teacher, key, None), getattr(model, key, None)) for key in INPUTS),
            *((key, trained["meta"].get(key), meta.get(key)) for key in META),
        ):
            if its != own:
                raise BitBloomError(f"train.distill.teacher: {folder} has another '{key}' than this model")
        self.config, self.task = config, task
        self.network = network.requires_grad_(False).to(device)
        self.record = {"folder": folder.as_posix(), "sha256": file_digest(folder / "model.safetensors")}

    def loss(self, student: nn.Module, batch: Batch, train: Train) -> Tensor:
        """Return the loss of a micro-batch, a scalar. Raises BitBloomError for a task whose loss has no logits."""
        seen: list[Any] = []
        hook = student.register_forward_hook(lambda module, inputs, output: seen.append(output))
        try:
            hard = self.task.loss(student, batch, train)
        finally:
            hook.remove()
        if len(seen) != 1 or not isinstance(seen[0], Tensor):
            raise BitBloomError("train.distill works for classifiers, whose network is called once for its logits")
        with torch.no_grad():
            logits = self.task.forward(self.network, batch)["logits"]
        return blend(hard, seen[0], logits, self.config)


def blend(hard: Tensor, student: Tensor, teacher: Tensor, config: Distill) -> Tensor:
    """Return the weighted mean of the loss of the labels and the cross-entropy of the teacher's softened probabilities.

    Args:
        hard: the loss of the labels, a scalar.
        student: logits [n, classes].
        teacher: logits [n, classes].
        config: temperature T and weight. The factor T² keeps the size of the gradient.
    """
    softened = softmax(teacher / config.temperature, dim=1)
    soft = -(softened * log_softmax(student / config.temperature, dim=1)).sum(dim=1).mean() * config.temperature**2
    return hard * (1 - config.weight) + soft * config.weight
