"""What is learned: one module a task. Stages know the task's protocol and never its name.

This is the model's side of a task; what a sample is, before there is a model, is in `bitbloom.samples`.

A task never reads a path of the build: stages hand it bytes, rows, arrays and modules, and write what it returns.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from bitbloom.schema import Augment, Model, Train

Batch = dict[str, "torch.Tensor"]
"""A micro-batch: the same names, as tensors."""
Outputs = dict[str, "torch.Tensor"]
"""What a network says of some samples, by name: tensors whose first axis is the sample."""


class Task(Protocol):
    """What a module of this package offers."""

    def build(self, model: Model, meta: Mapping[str, Any], pretrained: bool = True) -> torch.nn.Module:
        """The network, its weights drawn from the global generator or loaded as `model.weights` says; not if not `pretrained`."""
        ...

    def parameter_groups(self, network: torch.nn.Module, train: Train) -> list[dict[str, Any]]:
        """Optimiser groups (`params`, `lr`, `weight_decay`)."""
        ...

    def batch(
        self, arrays: Mapping[str, NDArray[Any]], seeds: NDArray[np.uint64] | None, augment: Augment, model: Model
    ) -> Batch:
        """Tensors of some samples; `seeds` [n] augments each with its own, None leaves them as they are."""
        ...

    def forward(self, network: torch.nn.Module, batch: Batch) -> Outputs:
        """Outputs of a batch: what `score` and the evaluation judge."""
        ...

    def loss(self, network: torch.nn.Module, batch: Batch, train: Train) -> torch.Tensor:
        """Mean loss of a micro-batch, a scalar."""
        ...

    def score(self, outputs: Outputs, arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        """Validation numbers from the outputs of all validation samples; `accuracy`-like key `score` is maximised."""
        ...


class Freezing(Protocol):
    """What the module of a task offers beside that whose model may have parts that keep their weights."""

    def features(
        self,
        network: torch.nn.Module,
        arrays: Mapping[str, NDArray[Any]],
        seeds: NDArray[np.uint64],
        augment: Augment,
        model: Model,
    ) -> dict[str, NDArray[Any]]:
        """What those parts say of some samples: arrays that `batch` then takes instead of those they were made from."""
        ...


def load(name: str) -> Task:
    """The task module of that name."""
    return cast(Task, importlib.import_module(f"{__name__}.{name}"))
