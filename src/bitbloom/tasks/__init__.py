"""What is learned: one module a task. Stages know the task's protocol and never its name.

This is the model's side of a task; what a sample is, before there is a model, is in `bitbloom.samples`.

A task never reads a path of the build: stages hand it bytes, rows, arrays and modules, and write what it returns.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from bitbloom.config import Augment, Model, Train

Batch = dict[str, "torch.Tensor"]
"""A micro-batch: the same names, as tensors."""


@dataclass(frozen=True)
class Served:
    """What is exported: the network with all that stands between stored arrays and probabilities.

    Attributes:
        module: the arrays named in `inputs`, as tensors in that order → probabilities float32 [n, classes].
        inputs: names of arrays of the data set, and of the graph's inputs.
        free: for each input, the axes of any size and what they are called (`{0: "n"}`).
        properties: what whoever asks the graph has to know, as its metadata.
    """

    module: torch.nn.Module
    inputs: tuple[str, ...]
    free: tuple[Mapping[int, str], ...]
    properties: Mapping[str, str]


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

    def forward(self, network: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Outputs [n, …] of a batch: what `score` and the evaluation judge."""
        ...

    def loss(self, network: torch.nn.Module, batch: Batch, train: Train) -> torch.Tensor:
        """Mean loss of a micro-batch, a scalar."""
        ...

    def score(self, outputs: torch.Tensor, arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
        """Validation numbers from the outputs [n, …] of all validation samples; `accuracy`-like key `score` is maximised."""
        ...

    def served(self, network: torch.nn.Module, model: Model, meta: Mapping[str, Any]) -> Served:
        """What the export stage writes of a trained network."""
        ...


def load(name: str) -> Task:
    """The task module of that name."""
    return cast(Task, importlib.import_module(f"{__name__}.{name}"))
