"""A trained network that shows the progress of its outputs. Evaluation and export compute them for whole splits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from bitbloom.core import progress
from bitbloom.training import inference

if TYPE_CHECKING:
    from torch import nn

    from bitbloom.contracts import Batch, Outputs, TaskModel


class Counted:
    """A task's model that counts the batches of its `forward`."""

    def __init__(self, task: TaskModel, advance: Callable[[int], None]) -> None:
        self.task, self.advance = task, advance

    def forward(self, network: nn.Module, batch: Batch) -> Outputs:
        """Return the outputs of the task's model."""
        outputs = self.task.forward(network, batch)
        self.advance(1)
        return outputs

    def __getattr__(self, name: str) -> Any:
        """Return any other part of the task's model."""
        return getattr(self.task, name)


class ShownTrained(inference.Trained):
    """The same trained network; `outputs` shows its progress on stderr."""

    @classmethod
    def of(cls, trained: inference.Trained) -> ShownTrained:
        """Return the trained network with progress."""
        return cls(**vars(trained))

    def outputs(self, split: str) -> Outputs:
        """Return the outputs for the included samples of a split, in the order of `dataset.split`."""
        positions = self.dataset.split(split)
        with progress.advancing(f"outputs of {split}", -(-len(positions) // inference.BATCH)) as advance:
            counted = cast("TaskModel", Counted(self.task, advance))
            return inference.outputs(counted, self.network, self.dataset, positions, self.model)
