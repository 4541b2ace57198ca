"""Outputs of a network for many samples, in batches of a fixed size: the same bits for every caller."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from bitbloom.config.models import Model, typed_model
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.data.dataset import Dataset

if TYPE_CHECKING:
    from bitbloom.config.target import Target
    from bitbloom.contracts import Outputs, TaskModel
    from bitbloom.training.workers import Worker

BATCH = 32


@torch.no_grad()
def outputs(
    task: TaskModel,
    network: nn.Module,
    dataset: Dataset,
    positions: NDArray[np.int64],
    model: Model,
    worker: Worker | None = None,
) -> Outputs:
    """Return the outputs at `positions`, float32 on the CPU; workers divide the batches, and each returns all outputs."""
    network.eval()
    device = next(network.parameters()).device
    batches = [positions[start : start + BATCH] for start in range(0, len(positions), BATCH)]
    rank, world = (worker.rank, worker.world) if worker else (0, 1)
    own: dict[int, Outputs] = {}
    for number in range(rank, len(batches), world):
        # The last batch is padded with its own samples: matrices with few rows are not portable between CPUs.
        padded = np.resize(batches[number], BATCH)
        batch = task.batch(dataset.take(padded), None, None, model)
        result = task.forward(network, {name: tensor.to(device) for name, tensor in batch.items()})
        own[number] = {name: tensor.float().cpu()[: len(batches[number])] for name, tensor in result.items()}
    parts = _gathered(own, world)
    return {name: torch.cat([parts[number][name] for number in range(len(batches))]) for name in parts[0]}


def _gathered(own: dict[int, Outputs], world: int) -> dict[int, Outputs]:
    """Return the outputs of all workers by batch number."""
    if world == 1:
        return own
    gathered: list[Any] = [None] * world
    torch.distributed.all_gather_object(gathered, own)
    return {number: found for part in gathered for number, found in part.items()}


@dataclass(frozen=True)
class Trained:
    """A trained network in evaluation mode, the `model` section and `meta` that it was built from, and its data."""

    task: TaskModel
    network: nn.Module
    model: Model
    meta: dict[str, Any]
    dataset: Dataset
    data_digest: str

    def outputs(self, split: str) -> Outputs:
        """Return the outputs for the included samples of a split, in the order of `dataset.split`."""
        return outputs(self.task, self.network, self.dataset, self.dataset.split(split), self.model)


def open_dataset(target: Target, model: Model) -> Dataset:
    """Open the processed data, and the features of the model's frozen parts, if it has any."""
    return Dataset.open(target.processed, *([target.features] if model.frozen else []))


def load(target: Target, task: TaskModel) -> Trained:
    """Load the trained network of a target. Raises BitBloomError if its weights do not fit the current code."""
    network, model, trained = stored(target.models, task)
    return Trained(task, network, model, trained["meta"], open_dataset(target, model), trained["data_digest"])


def stored(folder: Path, task: TaskModel) -> tuple[nn.Module, Model, dict[str, Any]]:
    """Load the network in `models/<target>`; return it in evaluation mode, its `model` section, and its whole `config.json`.

    Raises:
        BitBloomError: its weights do not fit the current code.
    """
    trained = canonical.read_json(folder / "config.json")
    model = typed_model(trained["model"])
    network = task.build(model, trained["meta"], pretrained=False)
    try:
        network.load_state_dict(load_file(folder / "model.safetensors"))
    except RuntimeError as error:
        raise BitBloomError(
            f"{folder}/model.safetensors does not fit this code: run `make train TARGET={folder.name}`"
        ) from error
    return network.eval(), model, trained
